"""Modules in the place of a convolution; they take what ``nn.Conv2d`` takes, with padding that keeps the size."""

SEPARABLE_CONV = '''
class SeparableConv(nn.Module):
    """Looks at the neighbours channel by channel, then mixes the channels point by point."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, stride, padding, groups=in_channels, bias=False
        )
        self.norm = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=bias)

    def forward(self, x):
        return self.pointwise(self.norm(self.depthwise(x)))
'''

GHOST_CONV = '''
class GhostConv(nn.Module):
    """Computes half of the maps, and derives the other half from them by a depthwise convolution."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        primary = (out_channels + 1) // 2
        self.primary = nn.Conv2d(in_channels, primary, kernel_size, stride, padding, bias=bias)
        self.derive = nn.Sequential(
            nn.BatchNorm2d(primary), nn.ReLU(), nn.Conv2d(primary, primary, 3, padding=1, groups=primary, bias=bias)
        )
        self.out_channels = out_channels

    def forward(self, x):
        primary = self.primary(x)
        return torch.cat((primary, self.derive(primary)), dim=1)[:, : self.out_channels]
'''

PARTIAL_CONV = '''
class PartialConv(nn.Module):
    """Looks at the neighbours in half of the channels, then mixes all of them point by point."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.part = (in_channels + 1) // 2
        self.conv = nn.Conv2d(self.part, self.part, kernel_size, 1, padding, bias=False)
        self.norm = nn.BatchNorm2d(in_channels)
        self.mix = nn.Conv2d(in_channels, out_channels, 1, stride, bias=bias)

    def forward(self, x):
        part = self.conv(x[:, : self.part])
        return self.mix(self.norm(torch.cat((part, x[:, self.part :]), dim=1)))
'''

SHUFFLED_CONV = '''
class ShuffledConv(nn.Module):
    """Convolves groups of channels and shuffles the channels, so that the groups hear of each other."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.groups = math.gcd(math.gcd(in_channels, out_channels), 4)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding, groups=self.groups, bias=bias
        )

    def forward(self, x):
        x = self.conv(x)
        return x.unflatten(1, (self.groups, -1)).transpose(1, 2).flatten(1, 2)
'''

ASYMMETRIC_CONV = '''
class AsymmetricConv(nn.Module):
    """A tall kernel followed by a wide one."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.tall = nn.Conv2d(
            in_channels, out_channels, (kernel_size, 1), (stride, 1), (padding, 0), bias=False
        )
        self.norm = nn.BatchNorm2d(out_channels)
        self.wide = nn.Conv2d(
            out_channels, out_channels, (1, kernel_size), (1, stride), (0, padding), bias=bias
        )

    def forward(self, x):
        return self.wide(self.norm(self.tall(x)))
'''

DIFFERENCE_CONV = '''
class DifferenceConv(nn.Module):
    """A convolution that also sees how the neighbours differ from the centre, to a learned degree."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self.degree = nn.Parameter(torch.full((out_channels, 1, 1), 0.2))

    def forward(self, x):
        centre = self.conv.weight.sum(dim=(2, 3), keepdim=True)
        return self.conv(x) - self.degree * F.conv2d(x, centre, stride=self.stride)
'''

DILATED_PAIR_CONV = '''
class DilatedPairConv(nn.Module):
    """Half of the maps from the near neighbours, half from those two steps away."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        half = out_channels // 2
        self.near = nn.Conv2d(in_channels, out_channels - half, kernel_size, stride, padding, bias=bias)
        self.far = nn.Conv2d(in_channels, half, kernel_size, stride, 2 * padding, dilation=2, bias=bias)

    def forward(self, x):
        return torch.cat((self.near(x), self.far(x)), dim=1)
'''

MULTI_KERNEL_CONV = '''
class MultiKernelConv(nn.Module):
    """Adds to a convolution what a pointwise and a wider depthwise one find."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=bias)
        self.point = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.wide = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size + 2, stride, padding + 1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )

    def forward(self, x):
        return self.conv(x) + self.point(x) + self.wide(x)
'''
