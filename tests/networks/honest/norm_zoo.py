import torch
import torch.nn as nn
import torch.nn.functional as F


class RunningNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, 1, 1))
        self.register_buffer("power", torch.ones(width, 1, 1))

    def forward(self, x):
        if self.training:
            power = x.square().mean((0, 2, 3), keepdim=True)[0]
            self.power.lerp_(power.detach(), 0.1)
        else:
            power = self.power
        return x * torch.rsqrt(power + 1e-6) * self.weight


class ResponseNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x):
        strength = x.norm(dim=(2, 3), keepdim=True)
        return x + self.weight * x * strength / (strength.mean(1, keepdim=True) + 1e-6)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        norms = [
            nn.BatchNorm2d(16),
            nn.BatchNorm2d(16, affine=False, momentum=None),
            nn.GroupNorm(4, 16),
            nn.GroupNorm(1, 16),
            nn.InstanceNorm2d(16, affine=True),
            nn.InstanceNorm2d(16, track_running_stats=True),
            nn.LocalResponseNorm(3),
            RunningNorm(16),
            ResponseNorm(16),
        ]
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norms = nn.ModuleList(norms)
        self.convs = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in norms])
        self.last, self.rms = nn.LayerNorm(16), nn.RMSNorm(16)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs):
            x = x + F.relu(norm(conv(x)))
        x = x.permute(0, 2, 3, 1)
        return self.head(self.rms(self.last(x)).mean((1, 2)))
