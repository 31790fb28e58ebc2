"""What shapes went where until a forward pass failed: the calls of its modules, and the tensors at the failing line.

Only names and shapes are kept, never tensors, and no more than a screenful of them.
"""

from __future__ import annotations

import itertools
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeVar

from torch import Tensor, nn

from tools.jobs.network_source import FILE_NAME, own_line

_NUM_FIRST = 4
_NUM_LAST = 16
_MAX_LOCALS = 8
_MAX_TENSORS = 4
_MAX_DEPTH = 3
_MAX_NAME_CHARACTERS = 60
_LONGEST_SECONDS = 5.0
"""What takes longer until it fails is not run twice: a check has little more time than that."""

Result = TypeVar("Result")
Shape = tuple[int, ...]


@dataclass(slots=True)
class _Call:
    name: str
    kind: str
    given: tuple[Shape, ...]
    returned: tuple[Shape, ...] | None = None

    def __str__(self) -> str:
        returned = "it did not return" if self.returned is None else _text(self.returned)
        return f"{self.name} {self.kind}: {_text(self.given)} → {returned}"


@dataclass(slots=True)
class Calls:
    """The calls of a network's modules in the order they began: the first few, and the last."""

    first: list[_Call] = field(default_factory=list)
    last: deque[_Call] = field(default_factory=lambda: deque(maxlen=_NUM_LAST))
    num_calls: int = 0
    opened: list[_Call] = field(default_factory=list)

    def begin(self, call: _Call) -> None:
        """A module has been called."""
        self.opened.append(call)
        self.num_calls += 1
        if len(self.first) < _NUM_FIRST:
            self.first.append(call)
        else:
            self.last.append(call)

    def end(self, result: Any) -> None:
        """The module that was called last has returned."""
        if self.opened:
            self.opened.pop().returned = _shapes(result)

    def lines(self) -> Iterator[str]:
        """One a call."""
        yield from map(str, self.first)
        num_left_out = self.num_calls - len(self.first) - len(self.last)
        if num_left_out:
            yield f"… {num_left_out} more calls"
        yield from map(str, self.last)


def traced(network: nn.Module, run: Callable[[], Result]) -> Result:
    """What ``run`` returns; where it raises, it is run again under watch, for :func:`shape_trace` to tell of.

    So what runs takes no time longer, and what fails is a failure as before, also where it fails but once.

    Raises:
        Exception: whatever ``run`` raises.
    """
    started = time.monotonic()
    try:
        return run()
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # its tensors must not crowd out those of the second time
        if time.monotonic() - started < _LONGEST_SECONDS:
            _watched(network, run)
        raise


def _watched(network: nn.Module, run: Callable[[], Result]) -> Result:
    calls = Calls()
    leave = _leaving(calls)
    handles = []
    for name, module in network.named_modules():
        if module is not network:
            kind = type.__dict__["__name__"].__get__(type(module))[:_MAX_NAME_CHARACTERS]
            entering = _entering(calls, name[:_MAX_NAME_CHARACTERS], kind)
            handles += [module.register_forward_pre_hook(entering), module.register_forward_hook(leave)]
    try:
        return run()
    finally:
        for handle in handles:
            handle.remove()


def _entering(calls: Calls, name: str, kind: str) -> Callable[[nn.Module, Any], None]:
    def enter(_module: nn.Module, given: Any) -> None:
        calls.begin(_Call(name, kind, _shapes(given)))

    return enter


def _leaving(calls: Calls) -> Callable[[nn.Module, Any, Any], None]:
    def leave(_module: nn.Module, _given: Any, result: Any) -> None:
        calls.end(result)

    return leave


def shape_trace(error: BaseException) -> str:
    """The calls until ``error`` was raised, then the candidate's innermost line with the shapes of its tensors.

    Empty where no forward pass was under way. No method of the candidate's is called.
    """
    calls: Calls | None = None
    failing: tuple[FrameType, int] | None = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code is _watched.__code__:
            calls = frame.f_locals["calls"]
        elif frame.f_code.co_filename == FILE_NAME:
            failing = frame, number
    if calls is None:
        return ""
    return "\n".join([*calls.lines(), *_failing_line(*failing)] if failing else calls.lines())


def _failing_line(frame: FrameType, number: int) -> Iterator[str]:
    yield f"line {number}, in {frame.f_code.co_name}: {own_line(number)}"
    shapes = ((name, _shape(value)) for name, value in frame.f_locals.items())
    known = ((name, shape) for name, shape in shapes if shape is not None)
    told = [f"{name[:_MAX_NAME_CHARACTERS]} {shape}" for name, shape in itertools.islice(known, _MAX_LOCALS)]
    if told:
        yield f"  {', '.join(told)}"


def _text(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes) or "no tensor"


def _shapes(values: Any) -> tuple[Shape, ...]:
    """Those of the first tensors; this runs at every call, so the two usual forms come first."""
    if type(values) is Tensor:
        return (values.shape,)
    if type(values) is tuple and len(values) == 1 and type(values[0]) is Tensor:
        return (values[0].shape,)
    return tuple(tensor.shape for tensor in itertools.islice(_tensors(values), _MAX_TENSORS))


def _tensors(values: Any, depth: int = 0) -> Iterator[Tensor]:
    """The tensors in lists, tuples and dicts of Python's own; what else a candidate made is not looked into."""
    if _shape(values) is not None:
        yield values
    elif depth < _MAX_DEPTH and type(values) in (list, tuple, dict):
        inner: Iterable[Any] = values.values() if isinstance(values, Mapping) else values
        for value in inner:
            yield from _tensors(value, depth + 1)


def _shape(value: Any) -> Shape | None:
    # By its exact type: a subclass may answer for its shape itself.
    return tuple(value.shape) if type(value) in (Tensor, nn.Parameter) else None
