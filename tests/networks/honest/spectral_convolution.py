import torch
import torch.nn as nn
import torch.nn.functional as F


class Spectral(nn.Module):
    def __init__(self, width, modes):
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(width, width, modes, modes, dtype=torch.cfloat) / width)

    def forward(self, x):
        spectrum = torch.fft.rfft2(x)
        low = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, : self.modes, : self.modes], self.weight)
        padded = torch.zeros_like(spectrum)
        padded[:, :, : self.modes, : self.modes] = low
        return torch.fft.irfft2(padded, s=x.shape[2:])


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.lift = nn.Conv2d(3, 16, 1)
        self.spectral = nn.ModuleList([Spectral(16, 4) for _ in range(2)])
        self.local = nn.ModuleList([nn.Conv2d(16, 16, 3, padding=1) for _ in range(2)])
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.lift(x)
        for spectral, local in zip(self.spectral, self.local):
            x = F.gelu(spectral(x) + local(x))
        return self.head(x.mean((2, 3)))
