"""Whole blocks, which take the place of a network's own; they look at ``kernel_size`` neighbours where it is theirs."""

_SHORTCUT = """
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        else:
            self.shortcut = nn.Identity()
"""


def _block(text: str) -> str:
    return text.replace("        # shortcut\n", _SHORTCUT.lstrip("\n"))


INVERTED_RESIDUAL = _block('''
class InvertedResidual(nn.Module):
    """Expands, looks at the neighbours channel by channel, and projects back."""

    def __init__(self, in_channels, out_channels, stride, kernel_size):
        super().__init__()
        hidden = 3 * in_channels
        self.expand = nn.Sequential(nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.SiLU())
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, kernel_size, stride, kernel_size // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(),
        )
        self.project = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        # shortcut

    def forward(self, x):
        return self.project(self.depthwise(self.expand(x))) + self.shortcut(x)
''')

BOTTLENECK = _block('''
class BottleneckBlock(nn.Module):
    """Reduces to half of the channels for the spatial convolution, and expands again."""

    def __init__(self, in_channels, out_channels, stride, kernel_size):
        super().__init__()
        hidden = max(out_channels // 2, 4)
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU())
        self.conv = nn.Sequential(
            nn.Conv2d(hidden, hidden, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
        )
        self.expand = nn.Sequential(nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        # shortcut

    def forward(self, x):
        return F.relu(self.expand(self.conv(self.reduce(x))) + self.shortcut(x))
''')

GROUPED_BLOCK = _block('''
class GroupedBlock(nn.Module):
    """A bottleneck whose spatial convolution works in groups, as wide as the block itself."""

    def __init__(self, in_channels, out_channels, stride, kernel_size):
        super().__init__()
        groups = math.gcd(out_channels, 8)
        self.reduce = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
        )
        self.conv = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )
        self.expand = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        # shortcut

    def forward(self, x):
        return F.relu(self.expand(self.conv(self.reduce(x))) + self.shortcut(x))
''')

CONVNEXT = _block('''
class LargeDepthwiseBlock(nn.Module):
    """A large depthwise kernel, then an inverted bottleneck point by point, as in ConvNeXt."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 7, stride, 3, groups=in_channels, bias=False)
        self.norm = nn.BatchNorm2d(in_channels)
        self.expand = nn.Conv2d(in_channels, 4 * in_channels, 1)
        self.project = nn.Sequential(
            nn.Conv2d(4 * in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        # shortcut

    def forward(self, x):
        out = self.expand(self.norm(self.depthwise(x)))
        return self.project(F.gelu(out)) + self.shortcut(x)
''')

POOLING_BLOCK = _block('''
class PoolingBlock(nn.Module):
    """Mixes positions by pooling alone, channels by a perceptron."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.AvgPool2d(stride, ceil_mode=True),
        )
        self.perceptron = nn.Sequential(
            nn.Conv2d(out_channels, 2 * out_channels, 1, bias=False),
            nn.BatchNorm2d(2 * out_channels),
            nn.GELU(),
            nn.Conv2d(2 * out_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        # shortcut

    def forward(self, x):
        out = self.embed(x)
        out = out + F.avg_pool2d(out, 3, stride=1, padding=1, count_include_pad=False)
        return self.perceptron(out) + self.shortcut(x)
''')

PARTIAL_BLOCK = _block('''
class PartialBlock(nn.Module):
    """Convolves a quarter of the channels in space, then mixes all of them by a perceptron."""

    def __init__(self, in_channels, out_channels, stride, kernel_size):
        super().__init__()
        self.part = max(in_channels // 4, 1)
        self.conv = nn.Conv2d(self.part, self.part, kernel_size, 1, kernel_size // 2, bias=False)
        self.perceptron = nn.Sequential(
            nn.Conv2d(in_channels, 2 * in_channels, 1, stride, bias=False),
            nn.BatchNorm2d(2 * in_channels),
            nn.ReLU(),
            nn.Conv2d(2 * in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        # shortcut

    def forward(self, x):
        out = torch.cat((self.conv(x[:, : self.part]), x[:, self.part :]), dim=1)
        return self.perceptron(out) + self.shortcut(x)
''')

LOCAL_GLOBAL_BLOCK = _block('''
class LocalGlobalBlock(nn.Module):
    """A convolution for what is near, modulated by attention over a coarse grid for what is far."""

    def __init__(self, in_channels, out_channels, stride, kernel_size):
        super().__init__()
        hidden = max(out_channels // 4, 4)
        self.local = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )
        self.query = nn.Conv2d(out_channels, hidden, 1, bias=False)
        self.key = nn.Conv2d(out_channels, hidden, 1, bias=False)
        self.project = nn.Sequential(
            nn.Conv2d(2 * out_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        # shortcut

    def forward(self, x):
        local = self.local(x)
        grid = F.adaptive_avg_pool2d(local, 4)
        query, key = self.query(local).flatten(2).transpose(1, 2), self.key(grid).flatten(2)
        weight = torch.softmax(query @ key * key.shape[1] ** -0.5, dim=-1)
        found = (grid.flatten(2) @ weight.transpose(1, 2)).reshape(local.shape)
        return F.relu(self.project(torch.cat((local, found), dim=1)) + self.shortcut(x))
''')

WINDOW_BLOCK = _block('''
class WindowBlock(nn.Module):
    """Attention within windows of four by four, then a perceptron with a depthwise convolution, as in Swin."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.heads = math.gcd(out_channels, 4)
        self.embed = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.qkv = nn.Linear(out_channels, 3 * out_channels, bias=False)
        self.perceptron = nn.Sequential(
            nn.Conv2d(out_channels, 2 * out_channels, 1, bias=False),
            nn.BatchNorm2d(2 * out_channels),
            nn.GELU(),
            nn.Conv2d(2 * out_channels, 2 * out_channels, 3, padding=1, groups=2 * out_channels, bias=False),
            nn.Conv2d(2 * out_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        # shortcut

    def attend(self, x):
        batch, channels, height, width = x.shape
        padded = F.pad(x, (0, -width % 4, 0, -height % 4))
        rows, columns = padded.shape[2] // 4, padded.shape[3] // 4
        windows = padded.reshape(batch, channels, rows, 4, columns, 4).permute(0, 2, 4, 3, 5, 1)
        tokens = self.qkv(windows.reshape(batch * rows * columns, 16, channels))
        tokens = tokens.reshape(-1, 16, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = tokens.unbind(dim=0)
        weight = torch.softmax(query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5, dim=-1)
        mixed = (weight @ value).transpose(1, 2).reshape(batch, rows, columns, 4, 4, channels)
        mixed = mixed.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, 4 * rows, 4 * columns)
        return mixed[:, :, :height, :width]

    def forward(self, x):
        out = self.embed(x)
        out = out + self.attend(out)
        return self.perceptron(out) + self.shortcut(x)
''')

HYBRID_BLOCK = _block('''
class HybridBlock(nn.Module):
    """A convolution and attention over a coarse grid side by side, each on all channels."""

    def __init__(self, in_channels, out_channels, stride, kernel_size):
        super().__init__()
        self.heads = math.gcd(out_channels, 4)
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )
        self.query = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.key_value = nn.Conv2d(out_channels, 2 * out_channels, 1, bias=False)
        self.project = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, kernel_size, 1, kernel_size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        # shortcut

    def attend(self, x):
        batch, channels, height, width = x.shape
        depth = channels // self.heads
        query = self.query(x).reshape(batch, self.heads, depth, height * width)
        pairs = self.key_value(F.adaptive_avg_pool2d(x, 4)).reshape(batch, 2, self.heads, depth, 16)
        key, value = pairs.unbind(dim=1)
        weight = torch.softmax(query.transpose(-2, -1) @ key * depth**-0.5, dim=-1)
        return (value @ weight.transpose(-2, -1)).reshape(x.shape)

    def forward(self, x):
        out = self.conv(x)
        return F.relu(self.project(out + self.attend(out)) + self.shortcut(x))
''')
