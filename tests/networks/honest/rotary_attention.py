import torch
import torch.nn as nn
import torch.nn.functional as F


class Rotary(nn.Module):
    """Attention whose queries and keys are rotated by their position; the angles are kept by length."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self._angles = {}

    def _rotate(self, x):
        length, width = x.shape[-2:]
        if length not in self._angles:
            rate = 10000 ** (-torch.arange(0, width, 2) / width)
            self._angles[length] = torch.arange(length)[:, None] * rate
        angle = self._angles[length].to(x.device)
        even, odd = x[..., ::2], x[..., 1::2]
        return torch.cat([even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()], -1)

    def forward(self, x):
        y = self.norm(x.flatten(2).mT)
        q, k, v = self.qkv(y).chunk(3, -1)
        return x + F.scaled_dot_product_attention(self._rotate(q), self._rotate(k), v).mT.view_as(x)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Rotary(16), Rotary(16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.blocks(self.stem(x))
        return self.head(x.mean((2, 3)))
