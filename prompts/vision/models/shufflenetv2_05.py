"""ShuffleNetV2 (Ma et al. 2018) of half the width for 32×32 images: a stem, three stages of split and shuffled blocks,
a linear head. The stem keeps the resolution, and there is no pooling behind it.
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
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class DownsampleBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=2):
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.norm2(self.conv(self.norm1(self.depthwise(x)))))


class BaseBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, kernel_size=3, use_se=False):
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.depthwise = nn.Conv2d(
            out_channels, out_channels, kernel_size, stride, padding, groups=out_channels, bias=False
        )
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()
        self.se = SEBlock(out_channels) if use_se else nn.Identity()

    def forward(self, x):
        out = self.act(self.norm1(self.conv1(x)))
        out = self.norm2(self.depthwise(out))
        return self.se(self.act(self.norm3(self.conv2(out))))


class Shuffle(nn.Module):
    def __init__(self, block, shortcut=None):
        super().__init__()
        self.block = block
        self.shortcut = shortcut

    def forward(self, x):
        if self.shortcut is None:
            kept, out = x.chunk(2, dim=1)
        else:
            kept, out = self.shortcut(x), x
        return torch.stack([kept, self.block(out)], dim=2).flatten(1, 2)


class Expansion(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = Stem(3, 24)
        self.layers1 = self._make_layers(24, 48, repeats=4, stride=2)
        self.layers2 = self._make_layers(48, 96, repeats=8, stride=2)
        self.layers3 = self._make_layers(96, 192, repeats=4, stride=2)
        self.expand = Expansion(192, 1024)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(1024, num_classes)

    def _make_layers(self, in_channels, out_channels, repeats, stride):
        half = out_channels // 2
        layers = [Shuffle(BaseBlock(in_channels, half, stride), DownsampleBlock(in_channels, half, stride))]
        for _ in range(repeats - 1):
            layers.append(Shuffle(BaseBlock(half, half)))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.stem(x)
        x = self.layers1(x)
        x = self.layers2(x)
        x = self.layers3(x)
        x = self.expand(x)
        x = self.pool(x).flatten(1)
        return self.head(x)
