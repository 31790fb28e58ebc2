"""Sources as language models get them wrong, by the kind of the fault; none of them runs as it is."""

from __future__ import annotations

BASE = '''import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class Gate(nn.Module):
    """Weighs channels by their means."""

    def __init__(self, channels):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        hidden = math.ceil(channels / 2)
        self.scale = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(channels // 2, channels))

    def forward(self, x):
        x = self.norm(x)
        weight = torch.sigmoid(self.scale(F.relu(x).mean((2, 3))))
        return x * weight[:, :, None, None]


class Block(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.gate = Gate(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x):
        out = F.relu(self.norm1(self.conv1(x)))
        out = self.gate(self.norm2(self.conv2(out)))
        return F.relu(out + self.shortcut(x))


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.layers1 = nn.Sequential(Block(8, 8), Block(8, 8))
        self.layers2 = nn.Sequential(Block(8, 16, 2), Block(16, 16))
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.layers2(self.layers1(self.stem(x)))
        return self.head(x.mean((2, 3)))
'''
"""The parent of all of them."""


def _without(*texts: str) -> str:
    source = BASE
    for text in texts:
        assert text in source, text
        source = source.replace(text, "")
    return source


def _with(*pairs: tuple[str, str]) -> str:
    source = BASE
    for old, new in pairs:
        assert old in source, old
        source = source.replace(old, new)
    return source


_GATE = BASE[BASE.index("class Gate") : BASE.index("class Block")]
_SHORTCUT = BASE[BASE.index("        if stride != 1") : BASE.index("    def forward(self, x):\n        out")]

FAULTS: dict[str, dict[str, str]] = {
    "import": {
        "no torch": _without("import torch\n"),
        "no nn": _without("import torch.nn as nn\n"),
        "no F": _without("import torch.nn.functional as F\n"),
        "no math": _without("import math\n"),
        "a bare layer": _with(("nn.Identity()", "Identity()")),
        "a bare function": _with(("F.relu(x).mean", "relu(x).mean")),
        "an unknown package": "from vision_blocks.layers import DropPath\n" + BASE,
        "an unknown module of torch": "from torch.nn.attention_blocks import Gate as Other\n" + BASE,
        "an unknown name of torch": "from torch.nn import SqueezeExcitation\n" + BASE,
        "types": _with(("def __init__(self, channels):", "def __init__(self, channels: Optional[int]):")),
        "partial": _with(("nn.Identity()", "partial(nn.Identity)()")),
        "a class left out": BASE.replace(_GATE, ""),
    },
    "names": {
        "Relu": _with(("nn.BatchNorm2d(8), nn.ReLU()", "nn.BatchNorm2d(8), nn.Relu()")),
        "Batchnorm2d": _with(("self.norm2 = nn.BatchNorm2d", "self.norm2 = nn.Batchnorm2d")),
        "Conv2D": _with(("nn.Conv2d(3, 8", "nn.Conv2D(3, 8")),
        "Swish": _with(("nn.ReLU(), nn.Linear", "nn.Swish(), nn.Linear")),
        "a layer of torch": _with(("self.head = nn.Linear", "self.head = torch.Linear")),
        "a function of nn": _with(("F.relu(x)", "nn.relu(x)")),
        "a layer that never was": _with(("nn.Identity()", "nn.AdaptiveIdentity()")),
    },
    "text around": {
        "prose behind": BASE + "\nThis network gates its channels, which helps.\n",
        "prose before": "Here is the improved network.\n\n" + BASE,
        "a fence": f"```python\n{BASE}```\n",
        "a fence and prose": f"Sure! Here it is:\n\n```python\n{BASE}```\n\nThe gate adds few parameters.\n",
        "a fence that opens nothing": BASE + "```\n",
        "curly quotes": _with(
            ('"""Weighs channels by their means."""', "“””Weighs channels by their means.”””"),
        ),
        "a dash for a minus": _with(("math.ceil(channels / 2)", "channels – channels // 2")),
        "tabs": _with(("        self.norm = nn", "\t\tself.norm = nn")),
        "cut off": BASE[: BASE.rindex("self.head(x.mean")] + "self.head(x.mean((2,",
    },
    "interface": {
        "another name": _with(("class Network", "class GatedNet")),
        "n_classes": _with(("num_classes", "n_classes")),
        "no number of classes": _with(("self, num_classes=10", "self"), ("num_classes)", "10)")),
        "input channels": _with(
            ("self, num_classes=10", "self, in_channels, num_classes=10"),
            ("nn.Conv2d(3, 8", "nn.Conv2d(in_channels, 8"),
        ),
        "no return": _with(("        return x * weight", "        out = x * weight")),
        "no return of the network": _with(("        return self.head", "        out = self.head")),
    },
    "modules": {
        "no super": _with(("        super().__init__()\n        self.norm =", "        self.norm =")),
        "no super of the network": _with(("        super().__init__()\n        self.stem", "        self.stem")),
        "super of another class": _with(
            (
                "        super().__init__()\n        self.conv1",
                "        super(Gate, self).__init__()\n        self.conv1",
            )
        ),
        "an argument of the constructor in forward": _with(("x = self.norm(x)\n", "x = self.norm(x) / channels\n")),
        "an argument too many": _with(("Gate(out_channels)", "Gate(out_channels, 16)")),
        "an attribute never set": _with(("self.gate = ", "self.weigh = ")),
    },
    "shapes": {
        "bare shortcut": _with(("out + self.shortcut(x)", "out + x")),
        "no projection": BASE.replace(_SHORTCUT, "\n"),
        "no stride in the projection": _with(("out_channels, 1, stride, bias=False)", "out_channels, 1, bias=False)")),
        "a head too wide": _with(("nn.Linear(16, num_classes)", "nn.Linear(64, num_classes)")),
        "a view of a permuted map": _with(
            ("x = self.norm(x)", "x = self.norm(x).permute(0, 2, 3, 1).view(x.shape[0], -1).view(x.shape)")
        ),
        "the wrong width inside": _with(("nn.BatchNorm2d(channels)", "nn.BatchNorm2d(channels // 2)")),
        "a gate without its axes": _with(("weight[:, :, None, None]", "weight")),
        "no pooling before the head": _with(("x.mean((2, 3)))\n", "x))\n")),
    },
    "gradients": {
        "in place": _with(
            (
                "weight = torch.sigmoid(self.scale(F.relu(x).mean((2, 3))))",
                "weight = torch.sigmoid(self.scale(F.relu(x).mean((2, 3))))\n        weight *= 2",
            )
        ),
        "a device": _with(("x = self.norm(x)", "x = self.norm(x.cuda())")),
    },
}
"""The faults by group; each source is :data:`BASE` with one mistake."""
