"""Connections: parallel and second shortcuts, fusion of branches and stages, downsampling between stages."""

PARALLEL_PATH = '''
class ParallelPath(nn.Module):
    """A pointwise path beside the branch of a block."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return self.norm(self.conv(x))
'''

SMOOTH_SHORTCUT = '''
class SmoothShortcut(nn.Module):
    """A shortcut beside the shortcut, which sees the neighbours."""

    def __init__(self, channels):
        super().__init__()
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        return x + self.gain * self.smooth(x)
'''

CONCAT_FUSION = '''
class ConcatFusion(nn.Module):
    """Learns from a branch and a shortcut side by side."""

    def __init__(self, channels):
        super().__init__()
        self.join = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.join_norm = nn.BatchNorm2d(channels)

    def forward(self, branch, skip):
        return self.join_norm(self.join(torch.cat((branch, skip), dim=1)))
'''

FUSION_GATE = '''
class FusionGate(nn.Module):
    """Decides for each channel how much of the branch and how much of the shortcut goes on."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.decide = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, branch, skip):
        share = 2 * torch.sigmoid(self.decide(F.adaptive_avg_pool2d(branch + skip, 1)))
        return (share - 1) * (branch - skip)
'''

STAGE_FUSION = '''
class StageFusion(nn.Module):
    """Adds the outputs of earlier stages, pooled to the size of the last one and projected to its width."""

    def __init__(self, widths, channels):
        super().__init__()
        self.projections = nn.ModuleList(nn.Conv2d(width, channels, 1, bias=False) for width in widths)
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for _ in widths)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x, earlier):
        for projection, norm, features in zip(self.projections, self.norms, earlier):
            x = x + self.gain * norm(projection(F.adaptive_avg_pool2d(features, x.shape[-2:])))
        return x
'''

STAGE_AGGREGATION = '''
class StageAggregation(nn.Module):
    """Runs the blocks of a stage and adds what the concatenation of all their outputs holds."""

    def __init__(self, blocks, channels):
        super().__init__()
        self.blocks = blocks
        self.join = nn.Conv2d(len(blocks) * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return x + self.norm(self.join(torch.cat(outputs, dim=1)))
'''

BLUR_DOWNSAMPLING = '''
class BlurDownsampling(nn.Module):
    """Halves the resolution behind a fixed low-pass filter."""

    def __init__(self, channels):
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.channels = channels
        self.register_buffer("kernel", torch.ones(channels, 1, 1, 1) * taps[:, None] * taps)

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2, padding=1, groups=self.channels)
'''

CONV_DOWNSAMPLING = '''
class ConvDownsampling(nn.Module):
    """Halves the resolution by a layer of its own between two stages."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=math.gcd(channels, 4), bias=False)

    def forward(self, x):
        return self.conv(self.norm(x))
'''

SPACE_TO_DEPTH = '''
class SpaceToDepth(nn.Module):
    """Halves the resolution without loss: four pixels become four channels, which are mixed."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv2d(4 * channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        x = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2))
        return self.norm(self.mix(F.pixel_unshuffle(x, 2)))
'''
