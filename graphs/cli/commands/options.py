"""Flags that several commands share."""

from __future__ import annotations

import os
from pathlib import Path

from graphs.cli.arguments import Parser


def add_place(parser: Parser) -> None:
    """Add ``--runs`` and ``--json``; ``FAIRNAD_RUNS`` applies."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("FAIRNAD_RUNS", "runs")),
        help="folder with all run folders (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print only one JSON object")


def add_run(parser: Parser) -> None:
    """Add ``--run``, ``--runs`` and ``--json``."""
    parser.add_argument(
        "--run",
        metavar="NAME",
        default=os.environ.get("FAIRNAD_RUN", ""),
        help="run (default: the one used last)",
    )
    add_place(parser)


CANDIDATE_HELP = "candidate: its id or a unique part of it (fair-s03), base, or best"
