"""Networks written in unusual but honest ways: the policy must let them through, the jail must not disturb them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.tools.sandbox.hostile.corpus import network

_HEAD = "import math\nimport torch\nfrom torch import nn, Tensor\nimport torch.nn.functional as F\n"


def _whole(text: str) -> str:
    return _HEAD + text


LEGITIMATE: Mapping[str, str] = {
    "multi-head attention": network(
        init="self.attention = nn.MultiheadAttention(8, 2, batch_first=True)",
        forward="""
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))
        """,
    ),
    "scaled dot products": network(
        forward="""
        q = self.conv(x).flatten(2).transpose(1, 2)
        return self.head(F.scaled_dot_product_attention(q, q, q).mean(1))
        """
    ),
    "einsum": network(
        init="self.mix = nn.Parameter(torch.eye(8))",
        forward="return self.head(torch.einsum('bchw,cd->bdhw', self.conv(x), self.mix).mean((2, 3)))",
    ),
    "custom autograd function": network(
        top="""
        class SquaredReLU(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                ctx.scale = 2.0
                return x.clamp(min=0) ** 2

            @staticmethod
            def backward(ctx, gradient):
                (x,) = ctx.saved_tensors
                return gradient * ctx.scale * x.clamp(min=0)
        """,
        forward="return self.head(SquaredReLU.apply(self.conv(x)).mean((2, 3)))",
    ),
    "weight sharing": network(
        init="""
        self.second = nn.Conv2d(3, 8, 3)
        self.second.weight = self.conv.weight
        self.same = nn.Sequential(self.conv)
        """,
        forward="return self.head((self.second(x) + self.same(x)).mean((2, 3)))",
    ),
    "spectral and weight norm": network(
        top="from torch.nn.utils import spectral_norm\nfrom torch.nn.utils.parametrizations import weight_norm\n",
        init="self.conv = spectral_norm(self.conv)\nself.head = weight_norm(self.head)",
    ),
    "parametrization": network(
        top="""
        import torch.nn.utils.parametrize as parametrize

        class Symmetric(nn.Module):
            def forward(self, w):
                return w.triu() + w.triu(1).transpose(-1, -2)
        """,
        init="parametrize.register_parametrization(self.conv, 'weight', Symmetric())",
    ),
    "dataclass configuration": network(
        top="""
        from dataclasses import dataclass, field
        from typing import List

        @dataclass(frozen=True)
        class Config:
            \"\"\"What __init__ is given.\"\"\"

            width: int = 8
            depths: List[int] = field(default_factory=lambda: [1, 2])

            def __post_init__(self):
                assert self.width > 0

        CONFIG = Config()
        """,
        init="self.extra = nn.ModuleList([nn.Conv2d(CONFIG.width, CONFIG.width, 1) for _ in CONFIG.depths])",
        forward="x = self.conv(x)\nfor layer in self.extra:\n    x = layer(x)\nreturn self.head(x.mean((2, 3)))",
    ),
    "functional style": _whole(
        """
def conv(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.relu(F.conv2d(x, weight, bias, padding=1))


class Network(nn.Module):
    def __init__(self, num_classes):
        super(Network, self).__init__()
        self.weight = nn.Parameter(torch.empty(8, 3, 3, 3))
        self.bias = nn.Parameter(torch.zeros(8))
        self.head = nn.Parameter(torch.randn(num_classes, 8) / math.sqrt(8))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x):
        return F.linear(conv(x, self.weight, self.bias).mean((2, 3)), self.head)
"""
    ),
    "ModuleDict by name": network(
        init="self.paths = nn.ModuleDict({'one': nn.Conv2d(8, 8, 1), 'two': nn.Identity()})",
        forward="x = self.conv(x)\nreturn self.head(sum(path(x) for name, path in self.paths.items()).mean((2, 3)))",
    ),
    "ParameterList and ParameterDict": network(
        init="""
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(1)) for _ in range(2)])
        self.shifts = nn.ParameterDict({"a": nn.Parameter(torch.zeros(1))})
        """,
        forward="return self.head((self.conv(x) * self.scales[0] + self.shifts['a']).mean((2, 3)))",
    ),
    "buffers": network(
        init="self.register_buffer('kernel', torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])) / 16)",
        forward="x = F.conv2d(x, self.kernel.expand(3, 1, 3, 3), padding=1, groups=3)",
    ),
    "layers set by name": network(
        init="for i in range(3):\n    setattr(self, f'layer{i}', nn.Conv2d(8, 8, 1))",
        forward="""
        x = self.conv(x)
        for i in range(3):
            x = getattr(self, f"layer{i}")(x)
        return self.head(x.mean((2, 3)))
        """,
    ),
    "constant names": network(
        init="self.act = getattr(nn, 'GELU')()\nassert hasattr(self, 'act')", forward="x = self.act(x)"
    ),
    "table of activations": network(
        top="from functools import partial\nACTIVATIONS = {'relu': nn.ReLU, 'leaky': partial(nn.LeakyReLU, 0.1)}\n",
        init="self.act = ACTIVATIONS['leaky']()",
        forward="x = self.act(x)",
    ),
    "a class per stage by inheritance": network(
        top="""
        from abc import ABC, abstractmethod
        from collections import OrderedDict

        class Stage(nn.Module, ABC):
            expansion: int = 1

            @abstractmethod
            def width(self): ...

            @property
            def doubled(self):
                return 2 * self.width()

        class Wide(Stage):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(OrderedDict([("conv", nn.Conv2d(8, self.doubled, 1)), ("act", nn.ReLU())]))

            def width(self):
                return 4

            def forward(self, x):
                return self.body(x)

            def extra_repr(self):
                return f"{self.__class__.__name__}, width={self.width()}"
        """,
        init="self.wide = Wide()",
        forward="return self.head(self.wide(self.conv(x)).mean((2, 3)))",
    ),
    "operations named like modules": network(
        init="""
        self.ops = nn.ModuleList([nn.Conv2d(8, 8, 1), nn.MaxPool2d(3, 1, 1)])
        self.classes, self.load, self.mode = num_classes, 0.5, "ops"
        self.alphas = nn.Parameter(torch.zeros(2))
        """,
        forward="""
        x = self.conv(x)
        weights = self.alphas.softmax(0)
        x = sum(weight * op(x) for weight, op in zip(weights, self.ops))
        return self.head(x.mean((2, 3)) * self.load)
        """,
    ),
    "frozen batch norm by calls": network(
        init="""
        self.norm = nn.BatchNorm2d(8)
        for parameter in self.norm.parameters():
            parameter.requires_grad = False
        self.norm.bias.data.fill_(0.1)
        with torch.no_grad():
            self.norm.weight.mul_(0.9)
        """,
        forward="return self.head(self.norm(self.conv(x)).mean((2, 3)))",
    ),
    "initialisation by apply": network(
        init="self.apply(self._init_weights)",
        methods="""
        def _init_weights(self, m):
            if isinstance(m, nn.Conv2d):
                nn.init.trunc_normal_(m.weight, std=0.02)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        """,
    ),
    "checkpointing": network(
        top="from torch.utils.checkpoint import checkpoint\n",
        forward="return self.head(checkpoint(self.conv, x, use_reentrant=False).mean((2, 3)))",
    ),
    "Fourier mixing": network(
        forward="""
        x = torch.fft.ifft2(torch.fft.fft2(x) * 0.5).real
        x = x + torch.linalg.vector_norm(x, dim=1, keepdim=True)
        """
    ),
    "vmap and func": network(
        top="from torch.func import vmap\n", forward="x = vmap(lambda image: image - image.mean())(x)"
    ),
    "lazy layers": network(init="self.head = nn.LazyLinear(num_classes)"),
    "complex weights": network(
        init="self.phase = nn.Parameter(torch.randn(3, 1, 1, dtype=torch.cfloat))", forward="x = (x * self.phase).real"
    ),
    "recurrent layers": network(
        init="self.rnn = nn.GRU(8, 8, batch_first=True)",
        forward="return self.head(self.rnn(self.conv(x).flatten(2).transpose(1, 2))[0][:, -1])",
    ),
    "main guard and docstrings": '"""A network.\n\nSee __init__ for its parameters, and π for a circle.\n"""\n'
    + network(methods='"""Nothing: __getattr__ is not used."""')
    + "\n\nif __name__ == '__main__':\n    model = Network(10)\n    print(model(torch.randn(2, 3, 32, 32)).shape)\n",
    "typing throughout": network(
        top="""
        from typing import Callable, Final, Optional, Sequence, TypeVar, Union
        from collections.abc import Iterable
        import warnings

        T = TypeVar("T")
        WIDTHS: Final[Sequence[int]] = (8, 16)
        __all__ = ["Network"]
        """,
        init="self.widths: Optional[Sequence[int]] = WIDTHS",
        methods="def pick(self, options: Iterable[T]) -> Union[T, None]:\n    return next(iter(options), None)",
    ),
    "stochastic depth": network(
        init="self.rates = [0.1 * i / 3 for i in range(4)]",
        forward="""
        if self.training and self.rates[1] > 0:
            keep = torch.rand(x.shape[0], 1, 1, 1, device=x.device) >= self.rates[1]
            x = x * keep / (1 - self.rates[1])
        """,
    ),
    "idioms of torch's own layers": network(
        top="""
        from torch.nn.modules.utils import _pair
        from torch.nn.modules.batchnorm import _BatchNorm

        class Scaled(nn.Module):
            __constants__ = ["stride"]
            stride: int

            def __init__(self, channels, stride=1):
                super().__init__()
                self.stride = _pair(stride)
                self.weight = nn.Parameter(torch.empty(channels, channels, 1, 1))
                fan_in, _ = nn.init._calculate_fan_in_and_fan_out(self.weight)
                nn.init.uniform_(self.weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

            def forward(self, x):
                torch._assert(x.dim() == 4, "expected a batch of maps")
                return F.conv2d(x, self.weight, stride=self.stride)
        import math
        """,
        init="""
        self.scaled = Scaled(8)
        for module in self.modules():
            assert not isinstance(module, _BatchNorm)
        """,
        forward="return self.head(self.scaled(self.conv(x)).mean((2, 3)))",
    ),
    "errors that help": network(
        top="""
        class ShapeError(ValueError):
            def __init__(self, found):
                super().__init__(f"expected 3 channels, found {found}")
                self.found = found
        """,
        forward="""
        try:
            assert x.shape[1] == 3
        except AssertionError as error:
            raise ShapeError(x.shape[1]) from error
        """,
    ),
}
