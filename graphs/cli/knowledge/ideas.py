"""What the commands about ideas share: which ideas are meant, and by which tree they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea

if TYPE_CHECKING:
    from graphs.cli.arguments import Parser


def add_place(parser: Parser) -> None:
    """``--out``, ``--pack`` and ``--json``."""
    parser.add_argument("--out", default="knowledge", metavar="STORE", help="knowledge folder (default: %(default)s)")
    parser.add_argument("--pack", default="vision", help="prompt pack whose tree holds where the folder has none")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def tree_of(folder: Path, pack: str) -> AttributeTree:
    """The attribute tree of a knowledge folder, or the pack's.

    Raises:
        PackError: it is malformed, or there is no such pack.
    """
    from prompts.loader import load_pack
    from prompts.pack_files import read_attribute_tree
    from store.knowledge_folder import TREE_NAME

    path = folder / TREE_NAME
    return read_attribute_tree(path) if path.is_file() else load_pack(pack).attribute_tree


def ideas_of(place: Path, pack: str) -> tuple[tuple[Idea, ...], AttributeTree]:
    """The ideas of a knowledge folder or of an idea file, and the tree they are read by.

    Raises:
        IdeaFileError: there are none, or the file holds something else.
    """
    from store.idea_files import read_ideas
    from store.knowledge_folder import IDEAS_NAME

    folder = place if place.is_dir() else place.parent
    tree = tree_of(folder, pack)
    return read_ideas(place / IDEAS_NAME if place.is_dir() else place, tree), tree
