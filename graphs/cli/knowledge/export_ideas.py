"""``export FILE --out STORE``: the ideas of a knowledge folder as one file, JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graphs.cli.arguments import Parser
from graphs.cli.knowledge.ideas import add_place, ideas_of
from graphs.cli.output.terminal import print_json


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Write the file."""
    from store.idea_files import write_ideas

    parser.add_argument("file", type=Path, metavar="FILE", help="output file (JSON lines)")
    add_place(parser)
    options = parser.parse_args(arguments)
    ideas, _ = ideas_of(Path(options.out), options.pack)
    write_ideas(options.file, ideas)
    if options.json:
        print_json({"file": str(options.file), "num_ideas": len(ideas)})
    else:
        print(f"{len(ideas)} ideas are in {options.file}")
    return 0
