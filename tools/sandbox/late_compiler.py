"""Defers loading torch's compiler until it is needed; most jobs never need it.

Torch excludes some functions from compilation, among them the optimizers' steps and operator modes. Their first call
loads the whole compiler, which takes nearly half of the start of a fork server, only to register the exclusion.
The exclusion has no effect without a compiled function, so a stand-in defers it.
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


def defer() -> None:
    """Replace the compiler by a stand-in, unless it is already loaded."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = _StandIn()


def load() -> ModuleType:
    """The compiler itself."""
    if isinstance(sys.modules.get(_NAME), _StandIn):
        del sys.modules[_NAME]
    return importlib.import_module(_NAME)


class _StandIn(ModuleType):
    """Handles exclusions itself and loads the compiler for everything else."""

    def __init__(self) -> None:
        super().__init__(_NAME, "The compiler, not loaded yet.")
        spec = importlib.util.find_spec(_NAME)
        # Code that iterates over sys.modules reads these; it must not load the compiler.
        self.__spec__, self.__file__ = spec, spec.origin if spec else None

    def disable(self, function: Callable[..., Any] | None = None, *options: Any, **named_options: Any) -> Any:
        """The function; the exclusion is registered once the compiler is loaded."""
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
        """Without a compilation there is nothing to do."""

    def __getattr__(self, name: str) -> Any:
        return getattr(load(), name)
