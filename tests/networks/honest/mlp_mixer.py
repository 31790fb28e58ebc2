import torch.nn as nn


class Mixer(nn.Module):
    def __init__(self, num_tokens, width):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(num_tokens, 32), nn.GELU(), nn.Linear(32, num_tokens))
        self.channels = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    def forward(self, x):
        x = x + self.tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.second(x))


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 4, stride=4)
        self.layers = nn.Sequential(Mixer(16, 32), Mixer(16, 32))
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        return self.head(self.layers(self.embed(x).flatten(2).mT).mean(1))
