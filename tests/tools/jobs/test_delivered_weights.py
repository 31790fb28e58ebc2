"""Weights travel as raw bytes, and come back as they were."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from torch import nn

from tests.tools.jobs.small_training import MEAN, STD, make_network, make_request
from tools.jobs.trainer import (
    load_weights,
    num_weight_bytes,
    predict,
    train,
    weights_to_bytes,
)


def test_weights_travel_with_every_buffer_and_counter() -> None:
    network, request = make_network(), make_request()
    train(network, request)
    data = weights_to_bytes(network)
    assert len(data) == num_weight_bytes(network)
    fresh = make_network(seed=9)
    load_weights(fresh, data)
    for (name, value), (_, other) in zip(network.state_dict().items(), fresh.state_dict().items(), strict=True):
        assert value.dtype == other.dtype
        assert torch.equal(value, other), name
    # 50 images are four batches of 16 with a rest, in each of three epochs.
    assert fresh[1].num_batches_tracked.item() == 12
    logits = [predict(one, request.images, MEAN, STD, batch_size=50, device="cpu") for one in (network, fresh)]
    np.testing.assert_array_equal(*logits)


class Medley(nn.Module):
    """Tensors of many types and shapes; the odd length of the first unaligns those behind it."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.register_buffer("flags", torch.tensor([True, False, scale > 1]))
        self.short = nn.Parameter(torch.tensor([1.5, -2.25], dtype=torch.bfloat16) * scale)
        self.register_buffer("count", torch.tensor(7 * int(scale), dtype=torch.int64))
        self.wide = nn.Parameter(torch.tensor(1 / 3, dtype=torch.float64) * scale)
        self.register_buffer("nothing", torch.zeros(0, 3))
        self.complex_pairs = nn.Parameter(torch.tensor([[1 + 2j], [3 - 4j]]) * scale)
        kernel = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2) * scale
        self.kernel = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))


def test_weights_of_every_type_and_layout_come_back_unchanged() -> None:
    network, other = Medley(2.0), Medley(1.0)
    load_weights(other, weights_to_bytes(network))
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_weights_are_raw_little_endian_elements_in_order() -> None:
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2.0]]))
        layer.bias.copy_(torch.tensor([0.5]))
    assert weights_to_bytes(layer) == struct.pack("<3f", 1.0, -2.0, 0.5)
    kernel = Medley(1.0).kernel
    assert weights_to_bytes(nn.ParameterList([kernel])) == struct.pack("<24f", *range(24)), "layout is no content"


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_weights_of_another_length_are_refused_and_nothing_is_loaded(change: object) -> None:
    network = make_network()
    before = weights_to_bytes(network)
    wrong = change(weights_to_bytes(make_network(seed=5)))
    with pytest.raises(ValueError, match=f"expected {len(before)} bytes of weights, found {len(wrong)}"):
        load_weights(network, wrong)
    assert weights_to_bytes(network) == before
