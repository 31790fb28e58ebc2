"""The flags that commands about runs share."""

from __future__ import annotations

import os
from pathlib import Path

from graphs.cli.arguments import Parser


def add_place(parser: Parser) -> None:
    """``--runs`` and ``--json``; variables of a search hold here too."""
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("FAIRNAD_RUNS", "runs")),
        help="folder the run folders lie in (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def add_run(parser: Parser) -> None:
    """``--run``, ``--runs`` and ``--json``."""
    parser.add_argument(
        "--run",
        metavar="NAME",
        default=os.environ.get("FAIRNAD_RUN", ""),
        help="which run; otherwise the one that was worked on last",
    )
    add_place(parser)


CANDIDATE_HELP = "a candidate: its id, as much of it as no other has (fair-s03), base, or best"
