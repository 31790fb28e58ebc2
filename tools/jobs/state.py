"""State of a network beside its parameters, and changes of it by running the network."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm

from tools.jobs.network_source import MODULE_NAME
from tools.jobs.operator_trace import gradient_nodes

_MAX_DEPTH = 5


def leaves_with_gradient(logits: Tensor) -> list[Tensor]:
    """The tensors that receive gradients in a backward pass from ``logits``."""
    return list({id(n.variable): n.variable for n in gradient_nodes(logits) if hasattr(n, "variable")}.values())


def buffers_of_norms(network: nn.Module) -> set[int]:
    """The ids of the buffers of torch's normalisation layers: running statistics, and vectors of spectral norm."""
    running = {
        id(buffer)
        for module in network.modules()
        if isinstance(module, _NormBase)
        for buffer in (module.running_mean, module.running_var, module.num_batches_tracked)
        if isinstance(buffer, Tensor) and buffer.numel() in (1, module.num_features)
    }
    spectral = (module for module in network.modules() if type(module) is _SpectralNorm)
    return running | {id(buffer) for module in spectral for buffer in module.buffers() if buffer.dim() == 1}


@dataclass(frozen=True, slots=True)
class State:
    """Parameters and buffers of a network by name, sizes of its containers, and values of its plain numbers."""

    tensors: Mapping[str, Tensor]
    sizes: Mapping[str, int]
    numbers: Mapping[str, object]


def state_of(network: nn.Module) -> State:
    """The current state, with copies of the tensors.

    Sizes are of lists, dictionaries, sets and tensors in attributes of modules and their classes, and in module-level
    variables of the source.
    """
    registered = [*network.named_parameters(), *network.named_buffers()]
    sizes: dict[str, int] = {}
    numbers: dict[str, object] = {}
    for name, value in _attributes(network):
        if type(value) in (int, float, bool):
            numbers[name] = value
        elif (size := _size(value, 0)) is not None:
            sizes[name] = size
    return State({name: tensor.detach().clone() for name, tensor in registered}, sizes, numbers)


def changed_tensors(before: State, after: State) -> list[str]:
    """The names of parameters and buffers that changed, appeared or vanished."""
    names = before.tensors.keys() | after.tensors.keys()
    return sorted(name for name in names if not _equal(before.tensors.get(name), after.tensors.get(name)))


def grown(before: State, after: State) -> list[str]:
    """The names of attributes that grew."""
    return sorted(name for name, size in after.sizes.items() if size > before.sizes.get(name, 0))


def changed_numbers(before: State, after: State) -> list[str]:
    """The names of plain numbers that have changed."""
    return sorted(name for name, value in after.numbers.items() if before.numbers.get(name, value) != value)


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)))


def _attributes(network: nn.Module) -> Iterator[tuple[str, object]]:
    classes: set[type] = set()
    for path, module in network.named_modules():
        prefix = f"{path}." if path else ""
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                yield f"{prefix}{name}", value
        classes.update(kind for kind in type(module).__mro__ if kind.__module__ == MODULE_NAME)
    for kind in sorted(classes, key=lambda kind: kind.__qualname__):
        for name, value in vars(kind).items():
            yield f"{kind.__name__}.{name}", value
    for name, value in vars(sys.modules[MODULE_NAME]).items():
        if not name.startswith("__"):
            yield name, value


def _size(value: object, depth: int) -> int | None:
    """Elements and entries, recursively; ``None`` for other types."""
    if isinstance(value, Tensor):
        return value.numel()
    if depth == _MAX_DEPTH or not isinstance(value, list | tuple | set | deque | dict):
        return None
    items = value.values() if isinstance(value, dict) else value
    return len(value) + sum(_size(item, depth + 1) or 0 for item in items)
