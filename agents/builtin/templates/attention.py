"""Attention, plain and efficient, and transformer blocks. All keep the shape and take any map size."""

SELF_ATTENTION = '''
class SelfAttention(nn.Module):
    """Every position attends to every other one."""

    def __init__(self, channels):
        super().__init__()
        self.heads = math.gcd(channels, 4)
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.project = nn.Conv2d(channels, channels, 1)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        batch, channels, height, width = x.shape
        depth = channels // self.heads
        tokens = self.qkv(self.norm(x)).reshape(batch, 3, self.heads, depth, height * width)
        query, key, value = tokens.unbind(dim=1)
        weight = torch.softmax(query.transpose(-2, -1) @ key * depth**-0.5, dim=-1)
        mixed = (value @ weight.transpose(-2, -1)).reshape(batch, channels, height, width)
        return x + self.gain * self.project(mixed)
'''

WINDOW_ATTENTION = '''
class WindowAttention(nn.Module):
    """Positions attend to each other within windows of four by four."""

    def __init__(self, channels):
        super().__init__()
        self.heads = math.gcd(channels, 4)
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.project = nn.Linear(channels, channels)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        batch, channels, height, width = x.shape
        padded = F.pad(self.norm(x), (0, -width % 4, 0, -height % 4))
        rows, columns = padded.shape[2] // 4, padded.shape[3] // 4
        windows = padded.reshape(batch, channels, rows, 4, columns, 4).permute(0, 2, 4, 3, 5, 1)
        tokens = self.qkv(windows.reshape(batch * rows * columns, 16, channels))
        tokens = tokens.reshape(-1, 16, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = tokens.unbind(dim=0)
        weight = torch.softmax(query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5, dim=-1)
        mixed = self.project((weight @ value).transpose(1, 2).reshape(-1, 16, channels))
        mixed = mixed.reshape(batch, rows, columns, 4, 4, channels).permute(0, 5, 1, 3, 2, 4)
        mixed = mixed.reshape(batch, channels, 4 * rows, 4 * columns)
        return x + self.gain * mixed[:, :, :height, :width]
'''

LINEAR_ATTENTION = '''
class LinearAttention(nn.Module):
    """Attention at a cost linear in the positions; a depthwise convolution adds a second scale to the tokens."""

    def __init__(self, channels):
        super().__init__()
        self.heads = math.gcd(channels, 4)
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.near = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.project = nn.Conv2d(channels, channels, 1)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        batch, channels, height, width = x.shape
        tokens = self.qkv(self.norm(x))
        tokens = (tokens + self.near(tokens)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = tokens.unbind(dim=1)
        query, key = F.elu(query) + 1, F.elu(key) + 1
        mixed = (value @ key.transpose(-2, -1)) @ query
        total = key.sum(dim=-1, keepdim=True).transpose(-2, -1) @ query
        return x + self.gain * self.project((mixed / total).reshape(batch, channels, height, width))
'''

REDUCED_KEY_ATTENTION = '''
class ReducedKeyAttention(nn.Module):
    """Positions attend to the cells of a coarse grid, by keys a quarter as wide as the values."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.norm = nn.GroupNorm(1, channels)
        self.query = nn.Conv2d(channels, hidden, 1, bias=False)
        self.key = nn.Conv2d(channels, hidden, 1, bias=False)
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        tokens = self.norm(x)
        grid = F.adaptive_avg_pool2d(tokens, 4)
        query = self.query(tokens).flatten(2).transpose(1, 2)
        key = self.key(grid).flatten(2)
        weight = torch.softmax(query @ key * key.shape[1] ** -0.5, dim=-1)
        mixed = self.value(grid).flatten(2) @ weight.transpose(1, 2)
        return x + self.gain * mixed.reshape(x.shape)
'''

PATCH_TRANSFORMER = '''
class PatchTransformer(nn.Module):
    """Sixteen patch tokens exchange what they know, then return it to their positions."""

    def __init__(self, channels):
        super().__init__()
        self.position = nn.Parameter(torch.zeros(16, channels))
        self.attention_norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        tokens = F.adaptive_avg_pool2d(x, 4).flatten(2).transpose(1, 2) + self.position
        query, key, value = self.qkv(self.attention_norm(tokens)).chunk(3, dim=-1)
        weight = torch.softmax(query @ key.transpose(1, 2) * key.shape[-1] ** -0.5, dim=-1)
        tokens = tokens + weight @ value
        tokens = tokens + self.perceptron(tokens)
        grid = tokens.transpose(1, 2).reshape(x.shape[0], x.shape[1], 4, 4)
        return x + self.gain * F.interpolate(grid, size=x.shape[-2:], mode="bilinear")
'''

ENCODER_BLOCK = '''
class EncoderBlock(nn.Module):
    """A transformer block that normalizes before attention and before the perceptron."""

    def __init__(self, channels):
        super().__init__()
        self.heads = math.gcd(channels, 4)
        self.attention_norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.project = nn.Conv2d(channels, channels, 1)
        self.perceptron = nn.Sequential(
            nn.GroupNorm(1, channels),
            nn.Conv2d(channels, 2 * channels, 1),
            nn.GELU(),
            nn.Conv2d(2 * channels, channels, 1),
        )
        self.attention_gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))
        self.perceptron_gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def attend(self, x):
        batch, channels, height, width = x.shape
        depth = channels // self.heads
        tokens = self.qkv(self.attention_norm(x)).reshape(batch, 3, self.heads, depth, height * width)
        query, key, value = tokens.unbind(dim=1)
        weight = torch.softmax(query.transpose(-2, -1) @ key * depth**-0.5, dim=-1)
        return self.project((value @ weight.transpose(-2, -1)).reshape(batch, channels, height, width))

    def forward(self, x):
        x = x + self.attention_gain * self.attend(x)
        return x + self.perceptron_gain * self.perceptron(x)
'''

LOCAL_GLOBAL_MIXER = '''
class LocalGlobalMixer(nn.Module):
    """Joins what is near a position with what attention finds in the whole image."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.local = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False), nn.BatchNorm2d(channels)
        )
        self.query = nn.Conv2d(channels, hidden, 1, bias=False)
        self.key = nn.Conv2d(channels, hidden, 1, bias=False)
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        grid = F.adaptive_avg_pool2d(x, 4)
        query, key = self.query(x).flatten(2).transpose(1, 2), self.key(grid).flatten(2)
        weight = torch.softmax(query @ key * key.shape[1] ** -0.5, dim=-1)
        found = (grid.flatten(2) @ weight.transpose(1, 2)).reshape(x.shape)
        return x + self.gain * self.join(torch.cat((self.local(x), found), dim=1))
'''
