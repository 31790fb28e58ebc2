"""Modules at hand for new ones: each is built of its channels alone, and returns a map of the shape it is given."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class DepthwiseConv(nn.Module):
    """Looks at the 3 × 3 neighbours of each channel by itself, then normalizes."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm(self.conv(x))


class WideView(nn.Module):
    """Sees far at little cost: a large depthwise kernel of 7 × 7, then normalizes."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm(self.conv(x))


class CrossView(nn.Module):
    """Sees along rows and columns: strip convolutions of 1 × 9 and 9 × 1, channel by channel, then normalizes."""

    def __init__(self, channels):
        super().__init__()
        self.along_rows = nn.Conv2d(channels, channels, (1, 9), padding=(0, 4), groups=channels, bias=False)
        self.along_columns = nn.Conv2d(channels, channels, (9, 1), padding=(4, 0), groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm(self.along_rows(x) + self.along_columns(x))


class SparseView(nn.Module):
    """Sees context with gaps: dilated depthwise convolutions of rates 2 and 3, summed and normalized."""

    def __init__(self, channels):
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, groups=channels, bias=False)
        self.far = nn.Conv2d(channels, channels, 3, padding=3, dilation=3, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.norm(self.near(x) + self.far(x))


class ChannelMix(nn.Module):
    """Mixes channels at each position: pointwise convolution, normalization, smooth activation (GELU)."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.gelu(self.norm(self.conv(x)))


class FeedForward(nn.Module):
    """A feed-forward layer of transformers (MLP): expands the channels twofold, activates, and projects back."""

    def __init__(self, channels):
        super().__init__()
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x):
        return self.project(F.gelu(self.expand(x)))


class ScaleChannels(nn.Module):
    """Channel attention, squeeze and excitation: weighs each channel by the means of all of them, from 0 to 2."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(4, channels // 4)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return x * 2 * torch.sigmoid(self.excite(F.relu(self.squeeze(mean))))


class ScalePositions(nn.Module):
    """Spatial attention: weighs each position by the mean and the maximum over channels around it, from 0 to 2."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 5, padding=2)

    def forward(self, x):
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * 2 * torch.sigmoid(self.conv(seen))


class AttendToRegions(nn.Module):
    """Self-attention, many heads: every position attends to the means of at most 16 regions of the map."""

    def __init__(self, channels):
        super().__init__()
        self.heads = math.gcd(channels, 4)
        self.query = nn.Conv2d(channels, channels, 1)
        self.key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        batch, channels, height, width = x.shape
        regions = F.adaptive_avg_pool2d(x, (min(height, 4), min(width, 4)))
        query = self.query(x).reshape(batch, self.heads, channels // self.heads, -1)
        key, value = self.key_value(regions).reshape(batch, 2, self.heads, channels // self.heads, -1).unbind(1)
        weight = torch.softmax(query.transpose(2, 3) @ key * (channels // self.heads) ** -0.5, -1)
        seen = (weight @ value.transpose(2, 3)).transpose(2, 3)
        return self.project(seen.reshape(batch, channels, height, width))


class AddContext(nn.Module):
    """Global context: adds to every position a projection of the mean of the whole map."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x + self.project(F.gelu(self.norm(x.mean((2, 3), keepdim=True))))


class SmoothedScales(nn.Module):
    """Multi-scale features: means over 3 × 3 and 5 × 5 neighbours beside the map itself, fused by a pointwise conv."""

    def __init__(self, channels):
        super().__init__()
        self.fuse = nn.Conv2d(3 * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        means = [F.avg_pool2d(x, size, 1, size // 2, count_include_pad=False) for size in (3, 5)]
        return self.norm(self.fuse(torch.cat([x, *means], 1)))


class NormalizeResponses(nn.Module):
    """Response normalization: channels compete by the strength of their maps, with a learned scale and shift."""

    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        strength = x.square().mean((2, 3), keepdim=True).add(1e-6).sqrt()
        return x + self.scale * x * strength / (strength.mean(1, keepdim=True) + 1e-6) + self.shift
