"""Normalization and activation: modules behind a feature map, or in the place of a layer."""

RESPONSE_NORM = '''
class ResponseNorm(nn.Module):
    """Lets channels compete by their energy over the whole image."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        energy = x.square().sum(dim=(2, 3), keepdim=True).add(1e-6).sqrt()
        relative = energy / (energy.mean(dim=1, keepdim=True) + 1e-6)
        return x + self.weight * (x * relative) + self.bias
'''

CHANNEL_LAYER_NORM = '''
class ChannelLayerNorm(nn.Module):
    """Normalizes every position over its channels."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        centred = x - x.mean(dim=1, keepdim=True)
        variance = centred.square().mean(dim=1, keepdim=True)
        return centred * torch.rsqrt(variance + 1e-5) * self.weight + self.bias
'''

BATCH_LAYER_NORM = '''
class BatchLayerNorm(nn.Module):
    """Normalizes one half of the channels over the batch, the other within each image."""

    def __init__(self, channels):
        super().__init__()
        self.half = channels // 2
        self.batch = nn.BatchNorm2d(self.half)
        self.image = nn.GroupNorm(1, channels - self.half)

    def forward(self, x):
        return torch.cat((self.batch(x[:, : self.half]), self.image(x[:, self.half :])), dim=1)
'''

LEARNED_SWISH = '''
class LearnedSwish(nn.Module):
    """Swish with a learned sharpness."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * torch.sigmoid(self.sharpness * x)
'''

SQUARED_RELU = '''
class SquaredRelu(nn.Module):
    """The square of the positive part, with a learned scale and offset."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.5))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        positive = F.relu(x)
        return positive + self.scale * (positive.square() / (1 + positive)) + self.offset
'''

TWO_SLOPES = '''
class TwoSlopes(nn.Module):
    """The larger of two learned multiples of the input."""

    def __init__(self):
        super().__init__()
        self.slopes = nn.Parameter(torch.tensor([1.0, 0.05]))

    def forward(self, x):
        return torch.maximum(self.slopes[0] * x, self.slopes[1] * x)
'''

LAYER_SCALE = '''
class LayerScale(nn.Module):
    """Weighs each channel of a branch by a learned factor."""

    def __init__(self, channels):
        super().__init__()
        self.factor = nn.Parameter(0.5 * torch.ones(channels, 1, 1))

    def forward(self, x):
        return x * self.factor
'''
