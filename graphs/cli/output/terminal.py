"""The console people read: a terminal, a log file, or the pages of a CI service."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Collection, Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

FILE_WIDTH = 10_000
"""Columns where the output is no terminal: whoever reads a file scrolls, and no table is ever cut."""

_NO = {"", "0", "false"}


class _Console(Console):
    """A console whose reader may leave; :func:`tools.output.until_reader_leaves` handles it."""

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


def make_table(*headings: str, numbers: Collection[str] = ()) -> Table:
    """An empty table that is narrow enough for 80 columns; the columns of ``numbers`` stand to the right."""
    table = Table(box=SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        if heading in numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, overflow="fold")
    return table


def print_text(console: Console, text: str | Text, indent: int = 0) -> None:
    """A text that a terminal breaks between words; a file gets it in one line."""
    console.print(Padding(text, (0, 0, 0, indent), expand=False), soft_wrap=False)


def print_table(console: Console, table: Table) -> None:
    """A table whose cells are wrapped, never cut; in a file without the blanks that fill its lines up."""
    if console.is_terminal:
        console.print(table, soft_wrap=False)
        return
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.print(Text("\n".join(lines)))


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on a line of stdout, at once."""
    print(json.dumps(value, allow_nan=False), flush=True)
