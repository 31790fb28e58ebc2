"""Adaptive feature recalibration: gates and added context. All keep the shape."""

CHANNEL_GATE = '''
class ChannelGate(nn.Module):
    """Weighs channels by what their mean over the image says of all of them."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        weight = F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))
        return x * 2 * torch.sigmoid(self.excite(weight))
'''

LOCAL_CHANNEL_GATE = '''
class LocalChannelGate(nn.Module):
    """Weighs each channel by its mean and those of its neighbours."""

    def __init__(self, channels):
        super().__init__()
        self.mix = nn.Conv1d(1, 1, 5, padding=2, bias=False)

    def forward(self, x):
        weight = self.mix(x.mean(dim=(2, 3)).unsqueeze(1)).squeeze(1)
        return x * 2 * torch.sigmoid(weight)[:, :, None, None]
'''

SPATIAL_GATE = '''
class SpatialGate(nn.Module):
    """Weighs positions by the mean and the maximum over the channels around them."""

    def __init__(self, channels):
        super().__init__()
        self.weigh = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        summary = torch.cat((x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)), dim=1)
        return x * 2 * torch.sigmoid(self.weigh(summary))
'''

DUAL_POOLING_GATE = '''
class DualPoolingGate(nn.Module):
    """Weighs channels by their mean and their maximum over the image."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.excite = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))

    def forward(self, x):
        weight = self.excite(F.adaptive_avg_pool2d(x, 1)) + self.excite(F.adaptive_max_pool2d(x, 1))
        return x * 2 * torch.sigmoid(weight)
'''

MULTI_SCALE_GATE = '''
class MultiScaleGate(nn.Module):
    """Weighs every value by its surroundings at three scales."""

    def __init__(self, channels):
        super().__init__()
        self.near = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.middle = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 3, padding=4, dilation=4, groups=channels)
        self.weigh = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * 2 * torch.sigmoid(self.weigh(self.near(x) + self.middle(x) + self.far(x)))
'''

COORDINATE_GATE = '''
class CoordinateGate(nn.Module):
    """Weighs channels row by row and column by column."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.squeeze = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.Hardswish())
        self.excite_rows = nn.Conv2d(hidden, channels, 1)
        self.excite_columns = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        rows = self.excite_rows(self.squeeze(x.mean(dim=3, keepdim=True)))
        columns = self.excite_columns(self.squeeze(x.mean(dim=2, keepdim=True)))
        return x * 2 * torch.sigmoid(rows + columns)
'''

GLOBAL_CONTEXT = '''
class GlobalContext(nn.Module):
    """Adds to every position what attention finds in the whole image."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 4, 4)
        self.attend = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        weight = torch.softmax(self.attend(x).flatten(2), dim=2)
        context = (x.flatten(2) * weight).sum(dim=2)[:, :, None, None]
        return x + self.gain * self.transform(context)
'''

MULTI_SCALE_FEATURES = '''
class MultiScaleFeatures(nn.Module):
    """Adds features taken with growing receptive fields."""

    def __init__(self, channels):
        super().__init__()
        self.scales = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False)
            for dilation in (1, 2, 3)
        )
        self.join = nn.Sequential(nn.Conv2d(3 * channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.gain = nn.Parameter(0.1 * torch.ones(channels, 1, 1))

    def forward(self, x):
        return x + self.gain * self.join(torch.cat([scale(x) for scale in self.scales], dim=1))
'''
