"""Builds networks from source text inside a job, and turns exceptions into failures (paper §4.4)."""

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
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fairnad.domain.contract import Contract
from fairnad.records.candidate import FailureKind

Fill = Literal["normal", "uniform", "zeros"]

MODULE_NAME = "candidate"
FILE_NAME = "candidate.py"
CANDIDATE_GLOBALS: dict[str, object] = {}
"""Further global names of a candidate's module."""
_MAX_TEXT_CHARACTERS = 240
_MAX_NAME_CHARACTERS = 80
_MAX_FRAMES = 8


class SourceError(Exception):
    """A candidate breaks a rule of FairNAD, rather than one of Python or torch."""

    def __init__(self, kind: FailureKind, message: str, details: str = "") -> None:
        """Describe the failure.

        Args:
            kind: of the failure.
            message: one line.
            details: more lines, for the debugger.
        """
        super().__init__(message)
        self.kind, self.details = kind, details


@dataclass(frozen=True, slots=True)
class Complaint:
    """A failure of a candidate: one line, and the candidate's part of the traceback."""

    kind: FailureKind
    message: str
    log_tail: str


def build_network(source: str, contract: Contract, seed: int) -> nn.Module:
    """The candidate's ``Network(num_classes)`` with every random number a function of ``seed``.

    Lazy layers get their shapes from one example in evaluation mode.

    Raises:
        SourceError: it has no usable ``Network``.
    """
    seed_everything(seed)
    network = network_class(source)(num_classes=contract.num_classes)
    if any(nn.parameter.is_lazy(parameter) for parameter in network.parameters()):
        with torch.no_grad():
            network.eval()(example_inputs(contract, 1, "zeros"))
        network.train()
    return network


def example_inputs(contract: Contract, num_examples: int, fill: Fill = "normal", device: str = "cpu") -> Tensor:
    """A batch as the contract describes it, float32 or int64, shape (num_examples, *input_shape).

    Args:
        fill: ``normal`` or ``uniform`` random numbers from torch's generator, or ``zeros``. Integer inputs are uniform
            in their range wherever they are random.
    """
    shape = (num_examples, *contract.input_shape)
    if contract.input_kind == "integer":
        high = 1 if fill == "zeros" else contract.num_values
        return torch.randint(high, shape, device=device)
    draw = {"normal": torch.randn, "uniform": torch.rand, "zeros": torch.zeros}[fill]
    return draw(shape, device=device)


def outputs_of(network: nn.Module, inputs: Tensor, contract: Contract) -> Tensor:
    """The outputs for a batch, floating point, shape (num_examples, *output_shape).

    Raises:
        SourceError: the network returns something else.
    """
    outputs = network(inputs)
    expected = (len(inputs), *contract.output_shape)
    if not isinstance(outputs, Tensor):
        hint = "; is a return missing?" if outputs is None else ""
        found = f"the output must be a tensor, found {type(outputs).__name__}{hint}"
    elif not outputs.is_floating_point():
        found = f"the output must be of a floating-point type, found {outputs.dtype}"
    elif outputs.shape != expected:
        found = f"the output must have the shape {expected}, found {tuple(outputs.shape)}"
    else:
        return outputs
    raise SourceError(FailureKind.INTERFACE, found)


def finite_outputs_of(network: nn.Module, inputs: Tensor, contract: Contract) -> Tensor:
    """As :func:`outputs_of`; infinite numbers and NaN are refused as well."""
    outputs = outputs_of(network, inputs, contract)
    if not torch.isfinite(outputs).all():
        mode = "training" if network.training else "evaluation"
        raise SourceError(FailureKind.RUNTIME, f"the output in {mode} mode is not finite")
    return outputs


def seed_everything(seed: int) -> None:
    """Seed the generators of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def network_class(source: str) -> Callable[..., nn.Module]:
    """The class ``Network`` that a source defines.

    Raises:
        SourceError: the source is nested too deeply, or has no ``nn.Module`` named ``Network`` that takes
            ``num_classes``.
    """
    linecache.cache[FILE_NAME] = (len(source), None, source.splitlines(keepends=True), FILE_NAME)
    module = ModuleType(MODULE_NAME)
    module.__dict__.update(CANDIDATE_GLOBALS)
    sys.modules[MODULE_NAME] = module
    exec(_compile(source), module.__dict__)
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


def _compile(source: str) -> CodeType:
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
    """Convert an exception to a failure.

    Calls no method of the candidate: an exception's ``__str__`` may be hostile, or never return.
    """
    name = str(type.__dict__["__name__"].__get__(type(error)))[:_MAX_NAME_CHARACTERS]
    text = " ".join(_text(error).split())[:_MAX_TEXT_CHARACTERS]
    frames = list(_own_frames(error))
    line = error.lineno if isinstance(error, SyntaxError) else frames[-1][1] if frames else None
    message = text if isinstance(error, SourceError) else f"{name}: {text}" if text else name
    if line is not None:
        message += f" (line {line})"
    lines = [f"  line {number}, in {function}\n    {code}" for function, number, code in frames[-_MAX_FRAMES:]]
    details = [error.details] if isinstance(error, SourceError) and error.details else []
    return Complaint(_kind(error, text), message, "\n".join([*lines, *details, message]))


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
"""Words in torch's messages about shapes; these exceptions have no own type."""
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
