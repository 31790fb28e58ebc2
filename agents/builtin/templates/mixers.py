"""Feature extraction operators beside convolutions of a block: token and channel mixing. All keep the shape."""

TOKEN_MIXER = '''
class TokenMixer(nn.Module):
    """Mixes the cells of a coarse grid by a perceptron shared by all channels."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.mix = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        grid = F.adaptive_avg_pool2d(self.norm(x), 4)
        mixed = self.mix(grid.flatten(2)).reshape(grid.shape)
        return x + self.gain * F.interpolate(mixed, size=x.shape[-2:], mode="bilinear")
'''

CHANNEL_MIXER = '''
class ChannelMixer(nn.Module):
    """A perceptron over the channels of every position."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.expand = nn.Conv2d(channels, 2 * channels, 1)
        self.reduce = nn.Conv2d(2 * channels, channels, 1)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        return x + self.gain * self.reduce(F.gelu(self.expand(self.norm(x))))
'''

LARGE_KERNEL_MIXER = '''
class LargeKernelMixer(nn.Module):
    """Modulates features by a large depthwise kernel, put together of a near and a dilated far one."""

    def __init__(self, channels):
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False)
        self.far = nn.Conv2d(channels, channels, 5, padding=4, dilation=2, groups=channels, bias=False)
        self.join = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        return x + self.gain * x * self.join(self.far(self.near(x)))
'''

POOL_MIXER = '''
class PoolMixer(nn.Module):
    """Mixes positions by pooling; what the position holds itself is subtracted."""

    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        pooled = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return x + self.gain * (pooled - x)
'''

DENSE_BRANCH = '''
class DenseBranch(nn.Module):
    """Two thin convolutions that see all features before them; their concatenation is added to the input."""

    def __init__(self, channels):
        super().__init__()
        growth = max(channels // 4, 4)
        self.first = nn.Sequential(nn.Conv2d(channels, growth, 3, padding=1, bias=False), nn.BatchNorm2d(growth))
        self.second = nn.Sequential(
            nn.Conv2d(channels + growth, growth, 3, padding=1, bias=False), nn.BatchNorm2d(growth)
        )
        self.join = nn.Sequential(nn.Conv2d(channels + 2 * growth, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        features = torch.cat((x, F.relu(self.first(x))), dim=1)
        features = torch.cat((features, F.relu(self.second(features))), dim=1)
        return x + self.gain * self.join(features)
'''

PYRAMID_CONTEXT = '''
class PyramidContext(nn.Module):
    """Fuses the features with their means over grids of one, four and sixteen cells."""

    def __init__(self, channels):
        super().__init__()
        self.levels = nn.ModuleList(nn.Conv2d(channels, channels, 1, groups=math.gcd(channels, 4)) for _ in range(3))
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        context = 0
        for cells, level in zip((1, 2, 4), self.levels):
            pooled = level(F.adaptive_avg_pool2d(x, cells))
            context = context + F.interpolate(pooled, size=x.shape[-2:], mode="bilinear")
        return x + self.gain * context
'''

STOCHASTIC_DEPTH = '''
class StochasticDepth(nn.Module):
    """Drops the branch of an image now and then while training; a learned gain weighs it."""

    def __init__(self, channels):
        super().__init__()
        self.keep = 0.95
        self.gain = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x):
        if self.training:
            kept = torch.rand(x.shape[0], 1, 1, 1, device=x.device) < self.keep
            x = x * kept.to(x.dtype) / self.keep
        return x * self.gain
'''

CONDITIONAL_BRANCH = '''
class ConditionalBranch(nn.Module):
    """Decides for each image how much of the branch it needs."""

    def __init__(self, channels):
        super().__init__()
        self.decide = nn.Linear(channels, 1)

    def forward(self, x):
        need = torch.sigmoid(self.decide(x.mean(dim=(2, 3))))
        return x * 2 * need[:, :, None, None]
'''

CONDITIONAL_POSITIONS = '''
class ConditionalPositions(nn.Module):
    """Decides for each position how much of the branch it needs."""

    def __init__(self, channels):
        super().__init__()
        self.decide = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x):
        return x * 2 * torch.sigmoid(self.decide(x))
'''

CONDITIONAL_EXPERTS = '''
class ConditionalExperts(nn.Module):
    """Four cheap experts, weighed for each image by a router."""

    def __init__(self, channels):
        super().__init__()
        self.route = nn.Linear(channels, 4)
        self.experts = nn.Conv2d(channels, 4 * channels, 3, padding=1, groups=channels, bias=False)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        weight = torch.softmax(self.route(x.mean(dim=(2, 3))), dim=1)
        features = self.experts(x).unflatten(1, (x.shape[1], 4))
        return x + self.gain * (features * weight[:, None, :, None, None]).sum(dim=2)
'''
