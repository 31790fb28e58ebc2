"""Input encoding: stems in the place of a network's own, and what follows a stem."""

CONV_STEM = '''
class TwoConvStem(nn.Module):
    """Two convolutions in series take the image in."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        hidden = max(out_channels // 2, 8)
        self.first = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()
        )
        self.second = nn.Sequential(
            nn.Conv2d(hidden, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
        )

    def forward(self, x):
        return self.second(self.first(x))
'''

PATCH_STEM = '''
class PatchStem(nn.Module):
    """Takes the image in twice, pixel by pixel and as embedded patches of two by two, and adds both."""

    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.patches = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 2, stride=2, bias=False), nn.BatchNorm2d(out_channels)
        )

    def forward(self, x):
        patches = F.interpolate(self.patches(x), size=x.shape[-2:], mode="nearest")
        return F.relu(self.conv(x) + patches)
'''

STEM_CONV = '''
class StemConv(nn.Module):
    """One more convolution before the first stage."""

    def __init__(self, channels):
        super().__init__()
        self.stem_conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(self.stem_norm(self.stem_conv(x)))
'''

POSITION_CONV = '''
class PositionConv(nn.Module):
    """Encodes positions by a depthwise convolution, which sees the border of the image."""

    def __init__(self, channels):
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x):
        return x + self.position(x)
'''

POSITION_GRID = '''
class PositionGrid(nn.Module):
    """Adds a learned embedding of positions, held on a coarse grid."""

    def __init__(self, channels):
        super().__init__()
        self.grid = nn.Parameter(torch.zeros(1, channels, 4, 4))

    def forward(self, x):
        return x + F.interpolate(self.grid, size=x.shape[-2:], mode="bilinear")
'''
