"""Consoles for a terminal, a log file or a CI service."""

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
"""Columns if the output is not a terminal, so that no table is cut."""

_NO = {"", "0", "false"}


class _Console(Console):
    """A console whose output may be closed, see :func:`tools.output.until_reader_leaves`."""

    def on_broken_pipe(self) -> None:
        """Raise the error, where rich would end the process."""
        raise BrokenPipeError


def make_console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr, with colours only on terminals and without ``NO_COLOR``."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal without × prints a question mark
    return _Console(
        file=stream,
        width=None if stream.isatty() else FILE_WIDTH,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
    )


def moves(console: Console) -> bool:
    """Whether a live display is possible: on a terminal that is not recorded as a log."""
    in_ci = os.environ.get("CI", "").lower() not in _NO
    return console.is_terminal and console.file.isatty() and not console.is_dumb_terminal and not in_ci


def make_table(*headings: str, numbers: Collection[str] = ()) -> Table:
    """An empty, narrow table; the columns in ``numbers`` are aligned to the right."""
    table = Table(box=SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        if heading in numbers:
            table.add_column(heading, justify="right", no_wrap=True)
        else:
            table.add_column(heading, overflow="fold")
    return table


def print_text(console: Console, text: str | Text, indent: int = 0) -> None:
    """Print a text, wrapped between words on a terminal and as one line in a file."""
    console.print(Padding(text, (0, 0, 0, indent), expand=False), soft_wrap=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table with wrapped cells; in a file, without trailing blanks."""
    if console.is_terminal:
        console.print(table, soft_wrap=False)
        return
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    console.print(Text("\n".join(lines)))


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object as a line, and flush."""
    print(json.dumps(value, allow_nan=False), flush=True)
