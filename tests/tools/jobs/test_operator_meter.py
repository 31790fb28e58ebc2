"""The two counts of FLOPs agree on every operator that has a formula, and each is right."""

from __future__ import annotations

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
    assert flop_count(network, 8).products == products
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
        (lambda x: torch.fft.fft(x.to(torch.complex64)), 2.5 * 3 * 192),
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


def test_a_complex_product_is_four_and_three_of_them_have_no_formula():
    matrix = torch.zeros(4, 4, dtype=torch.complex64)
    with OperatorMeter() as meter:
        matrix @ matrix
    assert meter.work == Work(64, 192)
