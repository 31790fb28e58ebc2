"""The two counts of FLOPs agree on every operator that has a formula, and each is right."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.budget_evaluator import flop_count
from tools.jobs.operator_meter import OperatorMeter, Work

KERNEL = torch.randn(6, 3, 3, 3)
VECTOR, MATRIX, WIDE = torch.randn(8), torch.randn(3, 7), torch.randn(7, 9)


class Case(nn.Module):
    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def first(outputs: tuple[Tensor, object]) -> Tensor:
    return outputs[0]


PRODUCTS = {
    "convolution": (Case(lambda x, conv: conv(x), nn.Conv2d(3, 6, 3)), 6 * 6 * 6 * 27),
    "convolution with padding by name": (Case(lambda x: F.conv2d(x, KERNEL, padding="same")), 8 * 8 * 6 * 27),
    "grouped convolution": (Case(lambda x, conv: conv(x), nn.Conv2d(3, 6, 3, groups=3)), 6 * 6 * 6 * 9),
    "transposed convolution": (Case(lambda x, conv: conv(x), nn.ConvTranspose2d(3, 6, 3, 2)), 8 * 8 * 3 * 6 * 9),
    "one dimension": (Case(lambda x, conv: conv(x.flatten(2)), nn.Conv1d(3, 6, 3, padding=1)), 64 * 6 * 9),
    "three dimensions": (Case(lambda x, conv: conv(x[:, None]), nn.Conv3d(1, 6, 3)), 6 * 6 * 6 * 27),
    "linear": (Case(lambda x, linear: linear(x), nn.Linear(8, 5)), 24 * 8 * 5),
    "product with a vector": (Case(lambda x: x @ VECTOR), 24 * 8),
    "inner": (Case(lambda x: torch.inner(x, VECTOR)), 24 * 8),
    "tensordot": (Case(lambda x: torch.tensordot(x, MATRIX, ([1], [0]))), 64 * 3 * 7),
    "contraction": (Case(lambda x: torch.einsum("bchw, cd -> bdhw", x, MATRIX)), 64 * 3 * 7),
    "contraction with an ellipsis": (Case(lambda x: torch.einsum("bc...,cd->bd...", x, MATRIX)), 64 * 3 * 7),
    "contraction without an arrow": (Case(lambda x: torch.einsum("bchw,cd", x, MATRIX)), 64 * 3 * 7),
    "contraction of three": (Case(lambda x: torch.einsum("bchw,cd,de->behw", x, MATRIX, WIDE)), 64 * 7 * (3 + 9)),
    "contraction of sums": (Case(lambda x: torch.einsum("bchw,cd->bd", x, MATRIX)), 3 * 7),
    "contraction without a sum": (Case(lambda x: torch.einsum("bchw,w->bchw", x, VECTOR)), 0),
    "attention": (
        Case(lambda x: F.scaled_dot_product_attention(*[x.flatten(2).mT] * 3)),
        64 * 64 * 6,
    ),
    "attention layer": (
        Case(lambda x, layer: first(layer(*[x.flatten(2)] * 3)), nn.MultiheadAttention(64, 2, batch_first=True)),
        3 * 64 * 64 * 4 + 3 * 3 * 64 * 2,
    ),
    "LSTM": (
        Case(lambda x, layer: first(layer(x.flatten(2))), nn.LSTM(64, 5, 2, batch_first=True, bidirectional=True)),
        3 * 2 * 20 * (64 + 5 + 10 + 5),
    ),
    "GRU": (Case(lambda x, layer: first(layer(x.flatten(2))), nn.GRU(64, 5)), 3 * 15 * 69),
    "RNN": (Case(lambda x, layer: first(layer(x.flatten(2))), nn.RNN(64, 5)), 3 * 5 * 69),
    "LSTM cell": (Case(lambda x, cell: first(cell(x.flatten(1))), nn.LSTMCell(192, 5)), 20 * 197),
    "GRU cell": (Case(lambda x, cell: cell(x.flatten(1)), nn.GRUCell(192, 5)), 15 * 197),
    "bilinear": (Case(lambda x, layer: layer(x[..., :3], x[..., :4]), nn.Bilinear(3, 4, 6)), 24 * 72),
}


def work_of(network: nn.Module, batch_size: int, device: str = "cpu") -> Work:
    torch.backends.mha.set_fastpath_enabled(False)
    with torch.no_grad(), OperatorMeter() as meter:
        network(torch.zeros(batch_size, 3, 8, 8, device=device))
    return meter.work


@pytest.mark.parametrize("name", PRODUCTS)
def test_both_counts_of_a_product_are_right(name):
    network, products = PRODUCTS[name]
    network.eval()
    assert flop_count(network, torch.zeros(1, 3, 8, 8)).products == products
    assert work_of(network, 1).products == products
    assert work_of(network, 3).products == 3 * products


@pytest.mark.parametrize("name", ["convolution", "attention", "LSTM", "GRU cell", "bilinear"])
def test_nothing_is_computed_on_the_meta_device_and_the_count_is_the_same(name):
    network, products = PRODUCTS[name]
    on_meta = Case(network.function, *(layer for layer in network.layers)).eval()
    state = {key: value.to("meta") for key, value in on_meta.state_dict().items()}
    with torch.no_grad(), OperatorMeter() as meter:
        torch.func.functional_call(on_meta, state, (torch.zeros(64, 3, 8, 8, device="meta"),))
    assert meter.work.products == 64 * products


@pytest.mark.parametrize(
    ("function", "elements"),
    [
        (lambda x: x + 1, 192),
        (lambda x: torch.relu(x) * 2, 2 * 192),
        (lambda x: x.sum(), 192),
        (lambda x: (x[:, :, None] * x[:, :, :, None]).sum(), 2 * 3 * 8**3),
        (lambda x: torch.cdist(x, x), 192 * 8),
        (lambda x: torch.linalg.inv_ex(x), 192 * 8),
        (lambda x: x.flatten(1).transpose(0, 1).contiguous(), 0),
        (lambda x: torch.cat([x, x.flip(2)]).repeat(1, 2, 1, 1)[:, ::2].clone(), 0),
    ],
)
def test_what_has_no_formula_counts_the_elements_it_goes_through(function, elements):
    x = torch.rand(1, 3, 8, 8) + torch.eye(8)
    with OperatorMeter() as meter:
        function(x)
    assert meter.work == Work(0, elements)


TRANSFORMS = {
    "real": (lambda x: torch.fft.rfft2(x), 192 * 2.5 * 6 / 2),
    "real with its size": (lambda x: torch.fft.rfft2(x, s=x.shape[-2:], norm="ortho"), 192 * 2.5 * 6 / 2),
    "back to real": (lambda x: torch.fft.irfft2(x + 0j, s=x.shape[-2:]), 192 * 2.5 * 6 / 2),
    "real with padding": (lambda x: torch.fft.rfft(x, n=16), 384 * 2.5 * 4 / 2),
    "over a dimension": (lambda x: torch.fft.rfft(x, dim=1), 192 * 2.5 * math.log2(3) / 2),
    "over all dimensions": (lambda x: torch.fft.rfftn(x[0]), 192 * 2.5 * math.log2(192) / 2),
    "over two dimensions": (lambda x: torch.fft.fftn(x, dim=(2, 3)), 192 * 2.5 * 6),
    "complex": (lambda x: torch.fft.fft2(x), 192 * 2.5 * 6),
    "complex back": (lambda x: torch.fft.ifft2(torch.fft.fft2(x)), 2 * 192 * 2.5 * 6),
    "of one dimension": (lambda x: torch.fft.fft(x + 0j), 192 * 2.5 * 3),
    "symmetric": (lambda x: torch.fft.hfft(x + 0j), 3 * 8 * 14 * 2.5 * math.log2(14) / 2),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_both_counts_of_a_transform_are_those_of_the_formula(name):
    function, products = TRANSFORMS[name]
    network = Case(function).eval()
    assert flop_count(network, torch.zeros(1, 3, 8, 8)).products == pytest.approx(products, abs=1)
    assert work_of(network, 1).products == pytest.approx(products)


def complex_maps(x: Tensor) -> Tensor:
    return torch.complex(x, x)


FACTOR = torch.randn(3, 7, dtype=torch.complex64)
COMPLEX_PRODUCTS = {
    "matmul": (lambda x: complex_maps(x) @ torch.ones(8, 5, dtype=torch.complex64), 4 * 24 * 8 * 5),
    "contraction": (lambda x: torch.einsum("bchw,cd->bdhw", complex_maps(x), FACTOR), 4 * 64 * 3 * 7),
    "contraction without a sum": (lambda x: torch.einsum("bchw,c->bchw", complex_maps(x), FACTOR[:, 0]), 4 * 192),
    "elements": (lambda x: complex_maps(x) * FACTOR[:, :1, None], 4 * 192),
    "elements in place": (lambda x: complex_maps(x).mul_(FACTOR[:, :1, None]), 4 * 192),
    "linear": (lambda x: F.linear(complex_maps(x), torch.ones(5, 8, dtype=torch.complex64)), 4 * 24 * 8 * 5),
    "scaling": (lambda x: complex_maps(x) * 2.0, 0),
}


@pytest.mark.parametrize("name", COMPLEX_PRODUCTS)
def test_a_complex_product_is_four(name):
    function, products = COMPLEX_PRODUCTS[name]
    network = Case(function).eval()
    assert flop_count(network, torch.zeros(1, 3, 8, 8)).products == products
    assert work_of(network, 1).products == products


def test_torch_does_a_complex_convolution_with_three_real_ones():
    network = Case(lambda x: F.conv2d(complex_maps(x), KERNEL.to(torch.complex64))).eval()
    assert flop_count(network, torch.zeros(1, 3, 8, 8)).products == work_of(network, 1).products == 3 * 36 * 6 * 27


def test_the_operators_count_norm_layers_as_the_graph_does():
    layers = [nn.BatchNorm2d(3), nn.LayerNorm([3, 8, 8]), nn.GroupNorm(1, 3), nn.Upsample(scale_factor=2)]
    network = nn.Sequential(*layers, nn.Upsample(scale_factor=2, mode="bilinear"), nn.AdaptiveAvgPool2d(2)).eval()
    assert work_of(network, 1).norms == flop_count(network, torch.zeros(1, 3, 8, 8)).total
