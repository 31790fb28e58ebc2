"""The ideas of a knowledge folder or an idea file, and the attribute tree for reading them."""

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
    parser.add_argument(
        "--pack",
        default="vision",
        help="prompt pack with the attribute tree, if the folder has none (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print only one JSON object")


def tree_of(folder: Path, pack: str) -> AttributeTree:
    """The attribute tree of a knowledge folder, or the pack's.

    Raises:
        PackError: the tree is malformed, or the pack is unknown.
    """
    from prompts.loader import load_pack
    from prompts.pack_files import read_attribute_tree
    from store.knowledge_folder import TREE_NAME

    path = folder / TREE_NAME
    return read_attribute_tree(path) if path.is_file() else load_pack(pack).attribute_tree


def ideas_of(place: Path, pack: str) -> tuple[tuple[Idea, ...], AttributeTree]:
    """The ideas of a knowledge folder or an idea file, and their attribute tree.

    Raises:
        IdeaFileError: the file is missing, empty or malformed.
    """
    from store.idea_files import read_ideas
    from store.knowledge_folder import IDEAS_NAME

    folder = place if place.is_dir() else place.parent
    tree = tree_of(folder, pack)
    return read_ideas(place / IDEAS_NAME if place.is_dir() else place, tree), tree
