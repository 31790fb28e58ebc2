"""Raw weights become safetensors files and come back, and nothing else is taken for them."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load

from tools.jobs.trainer import weights, weights_to_bytes
from tools.jobs.weights import ITEM_BYTES, Layout, WeightTensor, from_safetensors, num_weight_bytes, to_safetensors


def layout_of(network: torch.nn.Module) -> Layout:
    return [
        WeightTensor(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
        for name, tensor in weights(network).items()
    ]


@pytest.fixture
def mixed() -> torch.nn.Module:
    """A buffer of each type, in an order in which the wider ones are not aligned, and one without elements."""
    network = torch.nn.Module()
    network.register_buffer("odd", torch.tensor([True, False, True]))
    for name in reversed(ITEM_BYTES):
        elements = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
        network.register_buffer(f"buffer_{name}", elements)
    network.register_buffer("nothing", torch.zeros(0, 4))
    network.register_buffer("scalar", torch.tensor(7))
    return network


def test_torch_reads_back_every_tensor_of_every_type(mixed):
    layout = layout_of(mixed)
    content = to_safetensors(weights_to_bytes(mixed), layout)
    read = load(content)
    assert read.keys() == {tensor.name for tensor in layout}
    assert all(torch.equal(read[name], tensor) for name, tensor in weights(mixed).items())
    assert all(read[name].dtype == tensor.dtype for name, tensor in weights(mixed).items())


def test_the_raw_bytes_come_back_in_the_order_of_the_state_dict(mixed):
    layout, raw = layout_of(mixed), weights_to_bytes(mixed)
    assert from_safetensors(to_safetensors(raw, layout), layout) == raw
    assert num_weight_bytes(layout) == len(raw)


def test_two_layers_that_share_a_weight_are_both_written():
    network = torch.nn.Sequential(torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False))
    network[1].weight = network[0].weight
    read = load(to_safetensors(weights_to_bytes(network), layout_of(network)))
    assert torch.equal(read["0.weight"], read["1.weight"])


LAYOUT = [WeightTensor("a", "float32", (2,)), WeightTensor("b", "int64", ())]


@pytest.mark.parametrize("raw", [b"", bytes(15), bytes(17)])
def test_bytes_that_the_layout_does_not_account_for_are_refused(raw):
    with pytest.raises(ValueError, match=f"expected 16 bytes of weights, found {len(raw)}"):
        to_safetensors(raw, LAYOUT)


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two tensors are named a"):
        to_safetensors(bytes(8), [WeightTensor("a", "float32", (1,))] * 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a file", "expected a safetensors file, found: "),
        (to_safetensors(bytes(8), LAYOUT[:1]), "the weights belong to another network"),
        (to_safetensors(bytes(20), [WeightTensor("a", "float32", (3,)), LAYOUT[1]]), "a has another shape or type"),
        (to_safetensors(bytes(24), [WeightTensor("a", "float64", (2,)), LAYOUT[1]]), "a has another shape or type"),
    ],
)
def test_a_file_of_another_network_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        from_safetensors(content, LAYOUT)
