import math

import torch
import torch.nn as nn


class Window(nn.Module):
    def __init__(self, width, size):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros((2 * size - 1) ** 2))
        places = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
        offsets = places[:, :, None] - places[:, None, :] + size - 1
        self.register_buffer("index", offsets[0] * (2 * size - 1) + offsets[1], persistent=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1]) + self.bias[self.index]
        return x + self.out(scores.softmax(-1) @ v)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 4, stride=4)
        steps = torch.arange(16)[:, None] * torch.exp(torch.arange(0, 32, 2) * (-math.log(1e4) / 32))
        self.register_buffer("places", torch.cat([steps.sin(), steps.cos()], 1))
        self.windows = nn.Sequential(Window(32, 4), Window(32, 4))
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.windows(x).mean(1))
