"""Leaves torch's compiler unloaded until something needs it, which in most jobs nothing does.

Torch marks some functions as not to be compiled, among them the optimizers' steps and what watches operators. The
first call of any of them loads the whole compiler, nearly half of the time a fork server takes to start, only to ask
it to leave that function alone. While nothing is compiled the function runs just the same without being asked for.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo"


def put_off() -> None:
    """Put a stand-in in the compiler's place, unless the compiler is loaded already."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = _StandIn()


def load() -> ModuleType:
    """The compiler itself, loaded now if it was not."""
    if isinstance(sys.modules.get(_NAME), _StandIn):
        del sys.modules[_NAME]
    return importlib.import_module(_NAME)


class _StandIn(ModuleType):
    """Answers what can be answered without the compiler, and loads it for any other question."""

    def __init__(self) -> None:
        super().__init__(_NAME, "The compiler, not loaded yet.")
        spec = importlib.util.find_spec(_NAME)
        # Whoever walks over the loaded modules asks for these, and wants no compiler.
        self.__spec__, self.__file__ = spec, spec.origin if spec else None

    def disable(self, function: Callable[..., Any] | None = None, *options: Any, **named_options: Any) -> Any:
        """The function, which the compiler will be told to leave alone once it is there."""
        if function is None:
            return load().disable(function, *options, **named_options)
        disabled: Callable[..., Any] | None = None

        @functools.wraps(function)
        def run(*values: Any, **named: Any) -> Any:
            nonlocal disabled
            if sys.modules.get(_NAME) is self:
                return function(*values, **named)
            if disabled is None:
                disabled = load().disable(function, *options, **named_options)
            return disabled(*values, **named)

        return run

    def graph_break(self, *_: Any, **__: Any) -> None:
        """Nothing: there is no compilation to interrupt."""

    def __getattr__(self, name: str) -> Any:
        return getattr(load(), name)
