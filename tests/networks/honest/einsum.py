import torch
import torch.nn as nn


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 3, padding=1)
        self.mix = nn.ParameterList([nn.Parameter(torch.randn(16, 16) / 4) for _ in range(3)])
        self.gate = nn.Parameter(torch.ones(16))
        self.head = nn.Parameter(torch.randn(num_classes, 16) / 4)

    def forward(self, x):
        x = self.embed(x)
        for mix in self.mix:
            x = x + torch.einsum("bchw,dc->bdhw", torch.relu(x), mix)
            x = torch.einsum("bchw,c->bchw", x, self.gate)
        affinity = torch.einsum("b c h w, b c i j -> b h w i j", x, x).flatten(3).softmax(-1)
        x = torch.einsum("bhwk,bck->bchw", affinity, x.flatten(2))
        return torch.einsum("...chw,kc->...k", x, self.head) / 64
