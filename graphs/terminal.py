"""The console people read: a terminal, a log file, or the pages of a CI service."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

FILE_WIDTH = 10_000
"""Columns where the output is no terminal: whoever reads a file scrolls, and no table is ever cut."""

_NO = {"", "0", "false"}


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a command speaks; no setting of the run, which stays the same however it is shown.

    ``quiet``: the result alone. ``json``: for programs, see :mod:`graphs.events`. ``dry_run``: tell the plan and do
    nothing.
    """

    quiet: bool = False
    json: bool = False
    dry_run: bool = False


class _Console(Console):
    """A console whose reader may leave; :func:`until_reader_leaves` is told."""

    def on_broken_pipe(self) -> None:
        """Instead of ending the process on the spot."""
        raise BrokenPipeError


def make_console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr: colours on terminals only and not under ``NO_COLOR``, tables whole in files."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal that knows no × gets a question mark, not a traceback
    return _Console(
        file=stream,
        width=None if stream.isatty() else FILE_WIDTH,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
    )


def moves(console: Console) -> bool:
    """Whether a display may be drawn over: on a real terminal that nobody keeps as a log."""
    in_ci = os.environ.get("CI", "").lower() not in _NO
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal and not in_ci


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout, at once."""
    print(json.dumps(value, allow_nan=False), flush=True)


def until_reader_leaves(work: Callable[[], int]) -> int:
    """The exit status of ``work``; 0 where the reader of stdout (``head``, say) has seen enough before its end."""
    try:
        status = work()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would raise again when the interpreter closes stdout.
        with contextlib.suppress(io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status
