import torch
import torch.nn as nn


class Filter(nn.Module):
    def __init__(self, width, size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size // 2 + 1, width, 2) * 0.02)

    def forward(self, x):
        spectrum = torch.fft.rfft2(x, dim=(1, 2), norm="ortho") * torch.view_as_complex(self.weight)
        return torch.fft.irfft2(spectrum, s=x.shape[1:3], dim=(1, 2), norm="ortho")


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 2, stride=2)
        self.filters = nn.ModuleList([Filter(32, 8) for _ in range(2)])
        self.mlps = nn.ModuleList(
            [nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(2)]
        )
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        for mix, mlp in zip(self.filters, self.mlps):
            x = x + mlp(mix(x))
        return self.head(x.mean((1, 2)))
