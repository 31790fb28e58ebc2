"""A narrow residual network for images of 8 to 32 pixels: a stem, three stages of two basic blocks, a linear head."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class SEBlock(nn.Module):
    def __init__(self, channels, reduction=4):
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        scale = F.adaptive_avg_pool2d(x, 1)
        scale = torch.sigmoid(self.fc2(F.relu(self.fc1(scale))))
        return x * scale


class Stem(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class DownsampleBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=2):
        super().__init__()
        self.pool = nn.AvgPool2d(stride)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return self.norm(self.conv(self.pool(x)))


class BaseBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, kernel_size=3, use_se=False):
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size, 1, padding, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()
        self.se = SEBlock(out_channels) if use_se else nn.Identity()
        if stride > 1:
            self.shortcut = DownsampleBlock(in_channels, out_channels, stride)
        elif in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        else:
            self.shortcut = nn.Identity()

    def forward(self, x):
        out = self.act(self.norm1(self.conv1(x)))
        out = self.se(self.norm2(self.conv2(out)))
        return self.act(out + self.shortcut(x))


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = Stem(3, 4)
        self.layers1 = self._make_layers(4, 4, repeats=2, stride=1)
        self.layers2 = self._make_layers(4, 8, repeats=2, stride=2)
        self.layers3 = self._make_layers(8, 8, repeats=2, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, num_classes)

    def _make_layers(self, in_channels, out_channels, repeats, stride):
        layers = [BaseBlock(in_channels, out_channels, stride)]
        for _ in range(repeats - 1):
            layers.append(BaseBlock(out_channels, out_channels))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.stem(x)
        x = self.layers1(x)
        x = self.layers2(x)
        x = self.layers3(x)
        x = self.pool(x).flatten(1)
        return self.head(x)
