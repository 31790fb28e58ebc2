import torch
import torch.nn as nn
import torch.nn.functional as F


class Filter(nn.Module):
    """A learned filter for each channel, applied in the frequency domain."""

    def __init__(self, width, size=16):
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.filter = nn.Parameter(torch.randn(width, size, size // 2 + 1, 2) * 0.02)

    def forward(self, x):
        y = torch.fft.rfft2(self.norm(x), norm="ortho")
        w = F.interpolate(self.filter.permute(0, 3, 1, 2), y.shape[2:], mode="bilinear").permute(0, 2, 3, 1)
        return x + torch.fft.irfft2(y * torch.view_as_complex(w.contiguous()), s=x.shape[2:], norm="ortho")


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Filter(16), Filter(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
