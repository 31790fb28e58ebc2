"""From a source text to a network, inside a job, and from an exception to a failure (paper §4.4)."""

from __future__ import annotations

import inspect
import linecache
import random
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from fairnad.records.candidate import FailureKind

MODULE_NAME = "candidate"
FILE_NAME = "candidate.py"
_MAX_TEXT_CHARACTERS = 240
_MAX_NAME_CHARACTERS = 80
_MAX_FRAMES = 8


class SourceError(Exception):
    """A candidate breaks a rule of ours, rather than one of Python's or torch's."""

    def __init__(self, kind: FailureKind, message: str, details: str = "") -> None:
        """Say what is wrong.

        Args:
            kind: the failure this stands for.
            message: one line.
            details: more lines, for the debugger.
        """
        super().__init__(message)
        self.kind, self.details = kind, details


@dataclass(frozen=True, slots=True)
class Complaint:
    """What went wrong in a candidate: one line, and the candidate's own part of the traceback."""

    kind: FailureKind
    message: str
    log_tail: str


def build_network(source: str, *, num_classes: int, image_size: int, seed: int) -> nn.Module:
    """The candidate's ``Network(num_classes)`` with every random number a function of ``seed``.

    Lazy layers get their shapes from an image of ``image_size`` pixels a side, in evaluation mode.

    Raises:
        SourceError: it holds no usable ``Network``.
        Exception: whatever the candidate raises.
    """
    seed_everything(seed)
    network = network_class(source)(num_classes=num_classes)
    if any(nn.parameter.is_lazy(parameter) for parameter in network.parameters()):
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, image_size, image_size))
        network.train()
    return network


def seed_everything(seed: int) -> None:
    """Seed the generators a candidate may draw from: torch's, numpy's and Python's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def network_class(source: str) -> Callable[..., nn.Module]:
    """The class ``Network`` that a source defines.

    Raises:
        SourceError: it is nested too deeply, or there is no ``Network(num_classes)`` that is an ``nn.Module``.
        Exception: whatever running the source raises, ``SyntaxError`` included.
    """
    linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(keepends=True), FILE_NAME)
    module = ModuleType(MODULE_NAME)
    sys.modules[MODULE_NAME] = module
    exec(_compiled(source), module.__dict__)
    if "Network" not in module.__dict__:
        raise SourceError(FailureKind.INTERFACE, "the source defines no class Network")
    return _usable(module.__dict__["Network"])


def read_source(content: bytes) -> str:
    """The text of a source file.

    Raises:
        SourceError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(FailureKind.SYNTAX, f"the source is not UTF-8 at byte {error.start}") from error


def _compiled(source: str) -> CodeType:
    try:
        return compile(source, FILE_NAME, "exec", dont_inherit=True)
    except (MemoryError, RecursionError) as error:
        raise SourceError(FailureKind.SYNTAX, "the source is nested too deeply") from error


def _usable(network: Any) -> Callable[..., nn.Module]:
    if not isinstance(network, type) or not issubclass(network, nn.Module):
        raise SourceError(FailureKind.INTERFACE, "Network is not a subclass of torch.nn.Module")
    if network.forward is nn.Module.forward:
        raise SourceError(FailureKind.INTERFACE, "Network defines no method forward")
    if network.__init__ is nn.Module.__init__:
        raise SourceError(FailureKind.INTERFACE, "Network defines no __init__ that takes num_classes")
    signature = inspect.signature(network)
    try:
        signature.bind(num_classes=2)
    except TypeError as error:
        message = f"Network must be built by Network(num_classes=...), its parameters are {signature}: {error}"
        raise SourceError(FailureKind.INTERFACE, message) from error
    return network


def complaint(error: BaseException) -> Complaint:
    """The failure an exception stands for.

    No method of the candidate's is called: an exception's ``__str__`` may be hostile, or never return.
    """
    name = _type_name(error)[:_MAX_NAME_CHARACTERS]
    text = " ".join(_text(error).split())[:_MAX_TEXT_CHARACTERS]
    frames = list(_own_frames(error))
    line = error.lineno if isinstance(error, SyntaxError) else frames[-1][1] if frames else None
    message = text if isinstance(error, SourceError) else f"{name}: {text}" if text else name
    if line is not None:
        message += f" (line {line})"
    lines = [f"  line {number}, in {function}\n    {code}" for function, number, code in frames[-_MAX_FRAMES:]]
    details = [error.details] if isinstance(error, SourceError) and error.details else []
    return Complaint(_kind(error, text), message, "\n".join([*lines, *details, message]))


def _type_name(error: BaseException) -> str:
    return str(type.__dict__["__name__"].__get__(type(error)))


def _text(error: BaseException) -> str:
    arguments = BaseException.__dict__["args"].__get__(error)
    if isinstance(error, SyntaxError):
        return str(arguments[0]) if arguments and type(arguments[0]) is str else ""
    author = next(cls for cls in type(error).__mro__ if "__str__" in cls.__dict__)
    if author.__module__ == MODULE_NAME or not all(type(a) in (str, int, float, bool) for a in arguments):
        return " ".join(a for a in arguments if type(a) is str)
    return str(error)


def _own_frames(error: BaseException) -> Iterator[tuple[str, int, str]]:
    """(function, line number, code) of the candidate's frames, outermost first."""
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == FILE_NAME:
            yield frame.f_code.co_name, number, own_line(number)


def own_line(number: int) -> str:
    """A line of the candidate's source, without its indentation."""
    return linecache.getline(FILE_NAME, number).strip()


_SHAPE_PATTERN = re.compile(
    r"\b(shapes?|sizes?|dim(ension)?s?|channels?|elements|divisible|unpack|\dD)\b|size\(", re.IGNORECASE
)
"""How torch speaks of tensors that do not fit; its exceptions of that kind have no type of their own."""
_MEMORY_PATTERN = re.compile(r"can't allocate memory|out of memory|not enough memory|bad_alloc", re.IGNORECASE)


def _kind(error: BaseException, text: str) -> FailureKind:
    if isinstance(error, SourceError):
        return error.kind
    if isinstance(error, MemoryError) or _MEMORY_PATTERN.search(text):
        return FailureKind.MEMORY
    match error:
        case SyntaxError():
            return FailureKind.SYNTAX
        case UnboundLocalError() | RecursionError():
            return FailureKind.RUNTIME
        case ImportError() | NameError():
            return FailureKind.IMPORT
        case AttributeError() if text.startswith("module '"):
            return FailureKind.IMPORT
        case RuntimeError() | ValueError() | IndexError() | AssertionError() if _SHAPE_PATTERN.search(text):
            return FailureKind.SHAPE
        case _:
            return FailureKind.RUNTIME
