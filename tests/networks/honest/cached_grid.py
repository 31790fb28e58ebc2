import torch
import torch.nn as nn


class Coordinates(nn.Module):
    """Appends where a pixel lies; the grid is made at the first batch of a size and kept."""

    def __init__(self):
        super().__init__()
        self.grids = {}

    def forward(self, x):
        key = (*x.shape[2:], x.device)
        if key not in self.grids:
            lines = [torch.linspace(-1, 1, size, device=x.device) for size in x.shape[2:]]
            self.grids[key] = torch.stack(torch.meshgrid(*lines, indexing="ij"))
        return torch.cat([x, self.grids[key].expand(len(x), -1, -1, -1)], 1)


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.coordinates = Coordinates()
        self.layers = nn.Sequential(nn.Conv2d(5, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.head(self.layers(self.coordinates(x)).relu().mean((2, 3)))
