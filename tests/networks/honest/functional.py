import torch
import torch.nn as nn
import torch.nn.functional as F


def normalised(x, weight, bias):
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * weight[:, None, None] + bias[:, None, None]


def block(x, kernel, weight, bias):
    return x + F.silu(normalised(F.conv2d(x, kernel, padding="same"), weight, bias))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.p = nn.ParameterDict({"stem": torch.randn(16, 3, 3, 3) / 5, "head": torch.randn(num_classes, 16) / 4})
        for i in range(3):
            self.p[f"kernel{i}"] = torch.randn(16, 16, 3, 3) / 12
            self.p[f"weight{i}"] = torch.ones(16)
            self.p[f"bias{i}"] = torch.zeros(16)

    def forward(self, x):
        x = F.conv2d(x, self.p["stem"], padding=1)
        for i in range(3):
            x = block(x, self.p[f"kernel{i}"], self.p[f"weight{i}"], self.p[f"bias{i}"])
        return x.mean((2, 3)) @ self.p["head"].T
