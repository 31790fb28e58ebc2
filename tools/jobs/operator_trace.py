"""Records the operators of a network while it runs on two examples.

The trace is a graph of *values* (tensors, numbered in order of appearance) and the *nodes* that made them. It has no
names: a value is the input, a parameter, a buffer, a constant, or the result of a node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.utils._python_dispatch import TorchDispatchMode

from fairnad.domain.contract import Contract
from tools.jobs.network_source import MODULE_NAME, example_inputs

BATCH_SIZE = 2
_CONSTANT = "constant"
_MAX_LISTED_ELEMENTS = 64
_IDENTITIES = {"alias", "lift_fresh", "clone", "view", "_unsafe_view", "expand", "slice", "_to_copy"}
"""Operators that return their first input unchanged if shape and type stay the same."""
_SIZE_IS_IN_OUTPUT = {"view", "_unsafe_view", "expand"}
_NOT_OF_THE_FUNCTION = {"device", "layout", "pin_memory", "memory_format", "generator"}


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor, output number ``position`` of ``node``, or a leaf if ``node`` is -1.

    ``leaf`` is ``image`` (the input), ``parameter``, ``frozen parameter``, ``buffer`` or ``constant``; constants and
    fixed buffers include their content.
    """

    shape: tuple[int, ...]
    dtype: str
    leaf: str = ""
    node: int = -1
    position: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether it is neither input, nor registered, nor a result."""
        return self.leaf.startswith(_CONSTANT)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator call. ``inputs`` and ``outputs`` are numbers of values, ``literals`` the other arguments as text."""

    operator: str
    literals: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(slots=True)
class Call:
    """A call of a module, which ran the nodes from ``start`` up to, but excluding, ``end``.

    ``own`` says whether the candidate defines the class. ``shape`` is the shape of the first returned tensor, including
    the batch of two; empty without one.
    """

    class_name: str
    qualified_name: str
    own: bool
    start: int
    end: int = 0
    outputs: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class OperatorTrace:
    """One forward pass: ``output`` is the number of the returned value; calls are in the order they began.

    ``leaves`` are the tensors that no node made, by number. ``gradient`` lists the operators, sorted, of autograd
    functions with an own backward pass, in training mode.
    """

    values: list[Value]
    nodes: list[Node]
    calls: list[Call]
    output: int
    leaves: Mapping[int, Tensor] = field(repr=False)
    gradient: tuple[str, ...] = ()


def record(
    network: nn.Module,
    contract: Contract,
    *,
    training: bool,
    fixed: Collection[int] = (),
    meter: AbstractContextManager[object] | None = None,
) -> OperatorTrace:
    """Run the network once with gradients enabled and record its operators.

    Args:
        fixed: ids of buffers that are constants: their content is part of the trace.
        meter: entered for the forward pass.

    Raises:
        TypeError: it did not return a tensor.
    """
    network.train(training)
    images = example_inputs(contract, BATCH_SIZE, "uniform")
    recorder = _Recorder(network, images, fixed)
    with torch.enable_grad(), recorder.watching_calls(network), meter or nullcontext(), recorder:
        output = network(images)
    if not isinstance(output, Tensor):
        raise TypeError(f"the network returned {type(output).__name__} instead of a tensor")
    gradient = _own_gradient(network, output) if training else ()
    return OperatorTrace(
        recorder.values, recorder.nodes, recorder.calls, recorder.read(output), recorder.leaves, gradient
    )


def _own_gradient(network: nn.Module, output: Tensor) -> tuple[str, ...]:
    own = [node for node in gradient_nodes(output) if isinstance(node, BackwardCFunction)]
    if not own:
        return ()
    listed = _Operators()
    for node in own:
        node.register_prehook(listed.begin)
        node.register_hook(listed.end)
    wanted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with listed:
        torch.autograd.grad(output.sum(), wanted, allow_unused=True)
    return tuple(sorted(listed.lines))


def gradient_nodes(output: Tensor) -> Iterator[Any]:
    """The functions of a backward pass from ``output``, each once; the graph is not freed."""
    seen: set[Any] = set()
    pending = [output.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            pending += [following for following, _ in node.next_functions]


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lists the operators between ``begin`` and ``end``, with numbers and shapes of their arguments."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lines: list[str] = []
        self._is_listing = False

    def begin(self, _gradients: object) -> None:
        self._is_listing = True

    def end(self, _results: object, _gradients: object) -> None:
        self._is_listing = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self._is_listing:
            shapes = [(str(tensor.dtype), tuple(tensor.shape)) for tensor in tensors_in([args, kwargs])]
            numbers = [argument for argument in args if isinstance(argument, int | float | str)]
            self.lines.append(f"{func} {numbers} {shapes}")
        return func(*args, **kwargs)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records operators below autograd, where modules and functions that compute the same are the same."""

    def __init__(self, network: nn.Module, images: Tensor, fixed: Collection[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.calls: list[Call] = []
        self._open_calls: list[Call] = []
        self._numbers: dict[int, int] = {}
        self._alive: list[Tensor] = []
        self._last_write: dict[int, int] = {}
        self.leaves: dict[int, Tensor] = {}
        self._roles = {id(b): f"buffer {_content(b)}" if id(b) in fixed else "buffer" for b in network.buffers()}
        self._roles |= {id(p): "parameter" if p.requires_grad else "frozen parameter" for p in network.parameters()}
        self._roles[id(images)] = "image"
        # A tensor's .data is another tensor with the same memory.
        self._memory = {_storage(tensor): tensor for tensor in (*network.buffers(), *network.parameters())}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        inputs: list[int] = []
        literals = self._describe((args, {k: v for k, v in kwargs.items() if k not in _NOT_OF_THE_FUNCTION}), inputs)
        result = func(*args, **kwargs)
        self._add(func, inputs, literals, list(tensors_in(result)), list(_written(func, args, kwargs)))
        return result

    def read(self, tensor: Tensor) -> int:
        """The number of a tensor's current content."""
        number = self._numbers.get(id(tensor))
        if number is None:
            number = self._new_value(tensor, self._leaf(tensor))
            self.leaves[number] = tensor
        write = self._last_write.get(_storage(tensor), -1)
        if write > number:
            # Another view of the memory was written to: the content depends on both.
            number = self._new_node("written", "", [number, write], [tensor])[0]
        return number

    def _leaf(self, tensor: Tensor) -> str:
        if id(tensor) in self._roles:
            return self._roles[id(tensor)]
        registered = self._memory.get(_storage(tensor))
        if registered is not None and tensor.numel() <= registered.numel():
            return self._roles[id(registered)]
        return _constant(tensor)

    @contextmanager
    def watching_calls(self, network: nn.Module) -> Iterator[None]:
        """Record calls of the network's modules, except the network itself."""
        handles = []
        for name, module in network.named_modules():
            if module is not network:
                handles.append(module.register_forward_pre_hook(self._on_enter(name)))
                handles.append(module.register_forward_hook(self._on_leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _on_enter(self, qualified_name: str) -> Any:
        def enter(module: nn.Module, _: Any) -> None:
            kind = type(module)
            call = Call(kind.__name__, qualified_name, kind.__module__ == MODULE_NAME, start=len(self.nodes))
            self.calls.append(call)
            self._open_calls.append(call)

        return enter

    def _on_leave(self, _module: nn.Module, _args: Any, result: Any) -> None:
        call, tensors = self._open_calls.pop(), list(tensors_in(result))
        call.end = len(self.nodes)
        call.outputs = tuple(self._numbers[id(tensor)] for tensor in tensors if id(tensor) in self._numbers)
        call.shape = tuple(tensors[0].shape) if tensors else ()

    def _add(self, func: Any, inputs: list[int], literals: str, outputs: list[Tensor], written: list[Tensor]) -> None:
        name = func._schema.name.split("::")[-1]
        if name in _IDENTITIES and len(inputs) == 1 and len(outputs) == 1:
            value = self.values[inputs[0]]
            if (value.shape, value.dtype) == (tuple(outputs[0].shape), str(outputs[0].dtype)):
                self._number(outputs[0], inputs[0])
                return
        if name in _SIZE_IS_IN_OUTPUT:
            name, literals = name.removeprefix("_unsafe_"), ""
        elif written and name.endswith("_"):
            # In-place operators compute the same.
            name = name.removesuffix("_")
        returned = {id(tensor) for tensor in outputs}
        results = outputs + [tensor for tensor in written if id(tensor) not in returned]
        self._new_node(f"{name}.{func._overloadname}", literals, inputs, results)
        for tensor in written:
            self._last_write[_storage(tensor)] = self._numbers[id(tensor)]

    def _new_node(self, operator: str, literals: str, inputs: list[int], results: list[Tensor]) -> list[int]:
        node = len(self.nodes)
        numbers = [self._new_value(tensor, node=node, position=i) for i, tensor in enumerate(results)]
        self.nodes.append(Node(operator, literals, tuple(inputs), tuple(numbers)))
        return numbers

    def _new_value(self, tensor: Tensor, leaf: str = "", node: int = -1, position: int = 0) -> int:
        self.values.append(Value(tuple(tensor.shape), str(tensor.dtype), leaf, node, position))
        self._number(tensor, len(self.values) - 1)
        return len(self.values) - 1

    def _number(self, tensor: Tensor, number: int) -> None:
        self._numbers[id(tensor)] = number
        # Kept alive, so that no other tensor gets its id or memory.
        self._alive.append(tensor)

    def _describe(self, argument: Any, inputs: list[int]) -> str:
        """The arguments as text, with ``*`` for each tensor; appends the numbers of tensors to ``inputs``."""
        if isinstance(argument, Tensor):
            inputs.append(self.read(argument))
            return "*"
        if isinstance(argument, list | tuple):
            return f"[{','.join(self._describe(item, inputs) for item in argument)}]"
        if isinstance(argument, Mapping):
            return f"{{{','.join(f'{k}:{self._describe(argument[k], inputs)}' for k in sorted(argument))}}}"
        return repr(argument)


def tensors_in(result: Any) -> Iterator[Tensor]:
    """Every tensor in nested lists, tuples and mappings."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for item in result:
            yield from tensors_in(item)
    elif isinstance(result, Mapping):
        yield from tensors_in(list(result.values()))


def _written(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    """The arguments an operator writes to, as its schema says."""
    for position, argument in enumerate(func._schema.arguments):
        if argument.is_write:
            yield from tensors_in(args[position] if position < len(args) else kwargs.get(argument.name))


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)


def _constant(tensor: Tensor) -> str:
    return f"{_CONSTANT} {_content(tensor)}" if tensor.layout is torch.strided else _CONSTANT


def _content(tensor: Tensor) -> str:
    """The elements if they are few, else a digest."""
    if tensor.numel() <= _MAX_LISTED_ELEMENTS:
        return str(tensor.tolist())
    content = tensor.detach().cpu().resolve_conj().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(content).hexdigest()
