import torch
import torch.nn as nn


class Mapped(nn.Module):
    """A function of one image, mapped over the batch."""

    def __init__(self, width):
        super().__init__()
        self.mix = nn.Parameter(torch.randn(width, width) / 4)

    def forward(self, x):
        def one(image):
            covariance = torch.einsum("chw,dhw->cd", image, image) / image[0].numel()
            return image + torch.einsum("cd,dhw->chw", (covariance @ self.mix).softmax(-1), image)

        return torch.vmap(one)(x)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Mapped(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
