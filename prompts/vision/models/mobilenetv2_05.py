"""MobileNetV2 (Sandler et al. 2018) of half the width for 32×32 images: a stem, six stages of inverted residuals, a
linear head. The stem has the first block, which does not expand, and keeps the resolution.
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
        hidden = 2 * out_channels
        self.conv = nn.Conv2d(in_channels, hidden, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.act = nn.ReLU6()
        self.project = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        x = self.act(self.norm1(self.conv(x)))
        x = self.act(self.norm2(self.depthwise(x)))
        return self.norm3(self.project(x))


class BaseBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, kernel_size=3, use_se=False):
        super().__init__()
        hidden = 6 * in_channels
        padding = kernel_size // 2
        self.expand = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size, stride, padding, groups=hidden, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.act = nn.ReLU6()
        self.se = SEBlock(hidden) if use_se else nn.Identity()
        self.project = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x):
        out = self.act(self.norm1(self.expand(x)))
        out = self.se(self.act(self.norm2(self.depthwise(out))))
        out = self.norm3(self.project(out))
        if self.has_shortcut:
            out = out + x
        return out


class Expansion(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU6()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = Stem(3, 8)
        self.layers1 = self._make_layers(8, 16, repeats=2, stride=2)
        self.layers2 = self._make_layers(16, 16, repeats=3, stride=2)
        self.layers3 = self._make_layers(16, 32, repeats=4, stride=2)
        self.layers4 = self._make_layers(32, 48, repeats=3, stride=1)
        self.layers5 = self._make_layers(48, 80, repeats=3, stride=2)
        self.layers6 = self._make_layers(80, 160, repeats=1, stride=1)
        self.expand = Expansion(160, 1280)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(1280, num_classes)

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
        x = self.layers4(x)
        x = self.layers5(x)
        x = self.layers6(x)
        x = self.expand(x)
        x = self.pool(x).flatten(1)
        return self.head(x)
