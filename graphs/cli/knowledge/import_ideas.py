"""``import FILE… --out STORE``: adds the ideas of files to a knowledge folder; duplicates are merged.

The ideas are stored as a step of the folder, so that a later build keeps them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from fairnad.records.candidate import plain
from graphs.cli.arguments import Parser
from graphs.cli.knowledge.ideas import add_place, tree_of
from graphs.cli.output.terminal import print_json


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Add the ideas and rebuild the index."""
    from graphs.knowledge.summary import IMPORTED, build_index, merged_ideas
    from store.idea_files import read_ideas
    from store.knowledge_folder import KnowledgeFolder

    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="idea files, JSON lines")
    add_place(parser)
    options = parser.parse_args(arguments)
    place = Path(options.out)
    tree = tree_of(place, options.pack)
    read = [(file, read_ideas(file, tree)) for file in options.files]
    with contextlib.closing(KnowledgeFolder.open(place)) as folder:
        for file, ideas in read:
            name = f"import {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
            folder.steps.add_step(name, IMPORTED, 0, {"result": plain(ideas)})
        merged = merged_ideas(folder)
        folder.write_tree(tree)
        folder.write_ideas(merged.ideas)
    num_ideas = build_index(place, tree)
    if options.json:
        print_json({"num_ideas": num_ideas, "num_merged": merged.num_merged})
    else:
        print(f"{place} holds {num_ideas} ideas; {merged.num_merged} were duplicates")
    return 0
