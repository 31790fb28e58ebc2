"""Shapes up to the failure of a forward pass: module calls, and tensors at the failing line.

Only names and shapes are kept, never tensors, and at most one screen of text.
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
"""Seconds; a run that fails later is not repeated, because the time limit of a check is only slightly longer."""

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
    """Module calls in the order they began: the first and the last few."""

    first: list[_Call] = field(default_factory=list)
    last: deque[_Call] = field(default_factory=lambda: deque(maxlen=_NUM_LAST))
    num_calls: int = 0
    opened: list[_Call] = field(default_factory=list)

    def begin(self, call: _Call) -> None:
        """A module was called."""
        self.opened.append(call)
        self.num_calls += 1
        if len(self.first) < _NUM_FIRST:
            self.first.append(call)
        else:
            self.last.append(call)

    def end(self, result: Any) -> None:
        """The module that was called last returned."""
        if self.opened:
            self.opened.pop().returned = _shapes(result)

    def lines(self) -> Iterator[str]:
        """One line per call."""
        yield from map(str, self.first)
        num_left_out = self.num_calls - len(self.first) - len(self.last)
        if num_left_out:
            yield f"… {num_left_out} more calls"
        yield from map(str, self.last)


def run_traced(network: nn.Module, run: Callable[[], Result]) -> Result:
    """Return ``run()``; if it raises, run it again with hooks for :func:`shape_trace`, and raise the first error."""
    started = time.monotonic()
    try:
        return run()
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # frees the memory of its tensors for the second run
        if time.monotonic() - started < _LONGEST_SECONDS:
            _run_hooked(network, run)
        raise


def _run_hooked(network: nn.Module, run: Callable[[], Result]) -> Result:
    calls = Calls()
    leave = _make_hook(calls)
    handles = []
    for name, module in network.named_modules():
        if module is not network:
            kind = type.__dict__["__name__"].__get__(type(module))[:_MAX_NAME_CHARACTERS]
            entering = _make_pre_hook(calls, name[:_MAX_NAME_CHARACTERS], kind)
            handles += [module.register_forward_pre_hook(entering), module.register_forward_hook(leave)]
    try:
        return run()
    finally:
        for handle in handles:
            handle.remove()


def _make_pre_hook(calls: Calls, name: str, kind: str) -> Callable[[nn.Module, Any], None]:
    def enter(_module: nn.Module, given: Any) -> None:
        calls.begin(_Call(name, kind, _shapes(given)))

    return enter


def _make_hook(calls: Calls) -> Callable[[nn.Module, Any, Any], None]:
    def leave(_module: nn.Module, _given: Any, result: Any) -> None:
        calls.end(result)

    return leave


def shape_trace(error: BaseException) -> str:
    """The calls before ``error``, then the candidate's innermost line with the shapes of its tensors.

    Empty outside a forward pass. Calls no method of the candidate.
    """
    calls: Calls | None = None
    failing: tuple[FrameType, int] | None = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code is _run_hooked.__code__:
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
    shown = [f"{name[:_MAX_NAME_CHARACTERS]} {shape}" for name, shape in itertools.islice(known, _MAX_LOCALS)]
    if shown:
        yield f"  {', '.join(shown)}"


def _text(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes) or "no tensor"


def _shapes(values: Any) -> tuple[Shape, ...]:
    """The shapes of the first tensors; runs at every call, so the two most frequent forms come first."""
    if type(values) is Tensor:
        return (values.shape,)
    if type(values) is tuple and len(values) == 1 and type(values[0]) is Tensor:
        return (values[0].shape,)
    return tuple(tensor.shape for tensor in itertools.islice(_tensors(values), _MAX_TENSORS))


def _tensors(values: Any, depth: int = 0) -> Iterator[Tensor]:
    """The tensors in plain lists, tuples and dicts; subclasses are ignored."""
    if _shape(values) is not None:
        yield values
    elif depth < _MAX_DEPTH and type(values) in (list, tuple, dict):
        inner: Iterable[Any] = values.values() if isinstance(values, Mapping) else values
        for value in inner:
            yield from _tensors(value, depth + 1)


def _shape(value: Any) -> Shape | None:
    # The exact type: a subclass may override ``shape``.
    return tuple(value.shape) if type(value) in (Tensor, nn.Parameter) else None
