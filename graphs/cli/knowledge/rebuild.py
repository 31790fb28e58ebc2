"""``rebuild --out STORE``: rebuilds the search index of a knowledge folder from its ideas."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from graphs.cli.arguments import Parser
from graphs.cli.knowledge.ideas import add_place, ideas_of
from graphs.cli.output.terminal import print_json


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Build the index."""
    from graphs.knowledge.summary import build_index
    from store.knowledge_folder import INDEX_NAME

    add_place(parser)
    options = parser.parse_args(arguments)
    place = Path(options.out)
    _, tree = ideas_of(place, options.pack)
    shutil.rmtree(place / INDEX_NAME, ignore_errors=True)
    num_ideas = build_index(place, tree)
    if options.json:
        print_json({"num_ideas": num_ideas})
    else:
        print(f"the index of {place} holds {num_ideas} ideas")
    return 0
