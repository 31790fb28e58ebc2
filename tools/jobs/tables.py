"""Separates constant tables from capacity among the tensors that are not parameters.

A table is free if it does not depend on random numbers: it is equal in two builds with different seeds and unchanged by
training, or it holds integers that only select elements of other tensors. Every other tensor, such as a frozen random
projection, counts like parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from fairnad.domain.contract import Contract
from tools.delivery import Role
from tools.jobs.operator_trace import OperatorTrace, record
from tools.jobs.state import buffers_of_norms

_OTHER_SEED = 7241
_INTEGERS = ("torch.int8", "torch.int16", "torch.int32", "torch.int64", "torch.uint8")
_SELECTING = frozenset(
    """
    embedding gather index index_add index_copy index_fill index_put index_select scatter scatter_add scatter_reduce
    take _unsafe_index
    """.split()  # noqa: SIM905
)
"""Operators whose inputs after the first may be indices."""


@dataclass(frozen=True, slots=True)
class ExtraTensors:
    """The tensors of a network except parameters and statistics of norm layers.

    ``roles`` of registered buffers by name, ``digests`` of the free ones. ``num_elements`` count as parameters;
    ``num_unregistered`` of them are in tensors that are not registered. ``counted_bytes`` is the size of the tensors
    that count, ``free_bytes`` the size of free tables.
    """

    roles: Mapping[str, Role]
    digests: Mapping[str, str]
    num_elements: int
    num_unregistered: int
    counted_bytes: int
    free_bytes: int


def examine(
    network: nn.Module,
    evaluation: OperatorTrace,
    fixed: Collection[int],
    rebuild: Callable[[], nn.Module],
    contract: Contract,
) -> ExtraTensors:
    """Separate free tables from capacity.

    Args:
        network: after a pass in training mode.
        evaluation: its trace in evaluation mode, taken after that.
        fixed: ids of buffers that training did not change.
        rebuild: builds the network with another seed; called only if there is anything to compare.
    """
    norms = buffers_of_norms(network)
    buffers = {name: buffer for name, buffer in network.named_buffers() if id(buffer) not in norms}
    stored = network.state_dict(keep_vars=True)
    registered = {name: buffer for name, buffer in buffers.items() if name in stored}
    unregistered = {number: leaf for number, leaf in evaluation.leaves.items() if evaluation.values[number].is_constant}
    unregistered |= {
        number: leaf
        for number, leaf in evaluation.leaves.items()
        if any(leaf is buffer for name, buffer in buffers.items() if name not in registered)
    }
    if not registered and not any(leaf.numel() for leaf in unregistered.values()):
        return ExtraTensors({}, {}, 0, 0, 0, 0)
    with _OtherRandomNumbers():
        other = rebuild()
        others = dict(other.named_buffers())
        known = set(map(_content, _leaves_of(other, contract))) if unregistered else set()
    choosing = _find_indices(evaluation)
    roles: dict[str, Role] = {}
    for name, buffer in registered.items():
        if name in others and _content(others[name]) == _content(buffer):
            roles[name] = Role.TABLE
        else:
            numbers = {number for number, leaf in evaluation.leaves.items() if leaf is buffer}
            is_index = bool(numbers) and numbers <= choosing and id(buffer) in fixed
            roles[name] = Role.INDEX if is_index else Role.BUFFER
    counted = [leaf for number, leaf in unregistered.items() if number not in choosing and _content(leaf) not in known]
    free = [leaf for number, leaf in unregistered.items() if not any(leaf is one for one in counted)]
    capacity = [*counted, *(registered[name] for name, role in roles.items() if role is Role.BUFFER)]
    free += [registered[name] for name, role in roles.items() if role is not Role.BUFFER]
    return ExtraTensors(
        roles=roles,
        digests={name: digest(registered[name]) for name, role in roles.items() if role is not Role.BUFFER},
        num_elements=sum(map(num_elements, capacity)),
        num_unregistered=sum(map(num_elements, counted)),
        counted_bytes=_num_bytes(capacity),
        free_bytes=_num_bytes(free),
    )


def _leaves_of(network: nn.Module, contract: Contract) -> Iterable[Tensor]:
    """The leaves of the second pass, when everything the network caches exists."""
    record(network, contract, training=False)
    return record(network, contract, training=False).leaves.values()


def num_elements(tensor: Tensor) -> int:
    """The number of elements; a complex one counts twice."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def digest(tensor: Tensor) -> str:
    """A digest of the bytes of a tensor, as a training delivers them."""
    content = tensor.detach().cpu().resolve_conj().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(content).hexdigest()


def _content(tensor: Tensor) -> tuple[Any, ...]:
    """A key that is equal for tensors with equal bits; a sparse tensor equals only itself."""
    content = digest(tensor) if tensor.layout is torch.strided else id(tensor)
    return str(tensor.dtype), tuple(tensor.shape), content


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _find_indices(trace: OperatorTrace) -> set[int]:
    """The integer values of which every use ends in the selection of elements of another tensor."""
    uses: list[list[tuple[int, int]]] = [[] for _ in trace.values]
    for node_number, node in enumerate(trace.nodes):
        for position, number in enumerate(node.inputs):
            uses[number].append((node_number, position))
    choosing: set[int] = set()
    # Values made from a value have higher numbers, so they are decided before it.
    for number in reversed(range(len(trace.values))):
        is_used = bool(uses[number]) and number != trace.output
        if is_used and _holds_integers(trace, number) and all(_selects(trace, *use, choosing) for use in uses[number]):
            choosing.add(number)
    return choosing


def _selects(trace: OperatorTrace, node_number: int, position: int, choosing: set[int]) -> bool:
    node = trace.nodes[node_number]
    made = set(node.outputs)
    is_integer = all(_holds_integers(trace, number) for number in made)
    if position and node.operator.split(".")[0] in _SELECTING and not is_integer:
        return True
    return is_integer and bool(made) and all(number in choosing for number in made)


def _holds_integers(trace: OperatorTrace, number: int) -> bool:
    return trace.values[number].dtype in _INTEGERS


class _OtherRandomNumbers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Makes torch draw other random numbers, also if the source sets a seed or uses an own generator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._state = torch.Generator().manual_seed(_OTHER_SEED).get_state()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if "generator" in kwargs:
            kwargs["generator"] = None
        kept = torch.get_rng_state()
        torch.set_rng_state(self._state)
        try:
            return func(*args, **kwargs)
        finally:
            self._state = torch.get_rng_state()
            torch.set_rng_state(kept)
