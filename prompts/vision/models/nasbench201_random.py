"""A NAS-Bench-201 cell network (Dong and Yang 2020) for 32×32 images: a stem, three stages of five cells, a linear head.

The cell is number 4711 of the benchmark,
|nor_conv_1x1~0|+|none~0|skip_connect~1|+|skip_connect~0|skip_connect~1|avg_pool_3x3~2|, with 61 channels where the
benchmark has 16. Of all its cells and widths only those with a single 1×1 convolution and 61 channels have 1.47 M
parameters and 0.17 GFLOPs with 100 classes.
"""

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

    def forward(self, x):
        return self.norm(self.conv(x))


class DownsampleBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=2):
        super().__init__()
        self.act = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.pool = nn.AvgPool2d(stride)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x):
        out = self.norm1(self.conv1(self.act(x)))
        out = self.norm2(self.conv2(self.act(out)))
        return out + self.shortcut(self.pool(x))


class BaseBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, kernel_size=1, use_se=False):
        super().__init__()
        if stride > 1 or in_channels != out_channels:
            self.reduction = DownsampleBlock(in_channels, out_channels, stride)
        else:
            self.reduction = nn.Identity()
        self.act = nn.ReLU()
        self.conv = nn.Conv2d(out_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.se = SEBlock(out_channels) if use_se else nn.Identity()

    def forward(self, x):
        x = self.reduction(x)
        node = self.norm(self.conv(self.act(x)))
        out = self.se(node + self.pool(node))
        return out + x


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = Stem(3, 61)
        self.layers1 = self._make_layers(61, 61, repeats=5, stride=1)
        self.layers2 = self._make_layers(61, 122, repeats=5, stride=2)
        self.layers3 = self._make_layers(122, 244, repeats=5, stride=2)
        self.norm = nn.BatchNorm2d(244)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(244, num_classes)

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
        x = self.act(self.norm(x))
        x = self.pool(x).flatten(1)
        return self.head(x)
