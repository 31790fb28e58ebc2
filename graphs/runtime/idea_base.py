"""The ideas of a run: file, index and selection."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from fairnad.ports import IdeaStore
from fairnad.search.idea_selection import IdeaSelection, find_categories
from fairnad.search.sampling import Fairness, Key
from fairnad.settings.search_settings import RunContext
from prompts.paths import given_path

if TYPE_CHECKING:
    from prompts.loader import Pack
    from store.idea_store import ChromaIdeaStore, Embedder


def load_ideas(context: RunContext, pack: Pack) -> tuple[Idea, ...]:
    """The knowledge ideas of a run.

    Raises:
        IdeaFileError: their file cannot be read.
    """
    from store.idea_files import read_ideas
    from store.knowledge_folder import IDEAS_NAME

    folder = _knowledge_folder(context)
    file = folder / IDEAS_NAME if folder else given_path(context.ideas) if context.ideas else pack.ideas_file
    return read_ideas(file, attribute_tree(context, pack))


def attribute_tree(context: RunContext, pack: Pack) -> AttributeTree:
    """The attribute tree of a run's ideas, from their knowledge folder or from the pack.

    Raises:
        PackError: the folder's tree cannot be read.
    """
    from prompts.pack_files import read_attribute_tree
    from store.knowledge_folder import TREE_NAME

    folder = _knowledge_folder(context)
    return read_attribute_tree(folder / TREE_NAME) if folder else pack.attribute_tree


def _knowledge_folder(context: RunContext) -> Path | None:
    """The knowledge folder that ``--ideas`` names, ``None`` for other values."""
    folder = given_path(context.ideas)
    return folder if context.ideas and folder.is_dir() else None


def ideas_folder(context: RunContext, ideas: Sequence[Idea], embedder: str) -> Path:
    """The folder of the index of these ideas by this embedder.

    It is inside the knowledge folder, if the folder was built with the same embedder, otherwise in the runs folder.
    """
    from store.knowledge_folder import INDEX_NAME
    from tools.embedder import HashedEmbedder

    folder = _knowledge_folder(context)
    if folder and embedder == HashedEmbedder().name:
        return folder / INDEX_NAME
    names = "".join([embedder, *sorted(idea.idea_id for idea in ideas)])
    return Path(context.runs) / ".ideas" / hashlib.sha256(names.encode()).hexdigest()[:12]


def make_embedder(context: RunContext) -> Embedder:
    """The embedder of ideas and questions: the model of an endpoint, or hashed words.

    Raises:
        SettingsError: the endpoint's base URL is not a URL.
    """
    from tools.embedder import HashedEmbedder
    from tools.endpoint_embedder import EndpointEmbedder

    return EndpointEmbedder(context.embedding) if context.embedding.model else HashedEmbedder()


def find_ideas(context: RunContext, ideas: Sequence[Idea]) -> ChromaIdeaStore:
    """The store of these ideas; its index is not read or built yet.

    Raises:
        SettingsError: the embedding endpoint's base URL is not a URL.
    """
    from store.idea_store import ChromaIdeaStore

    embed = make_embedder(context)
    return ChromaIdeaStore(ideas_folder(context, ideas, embed.name), ideas, embed)


def open_ideas(context: RunContext, pack: Pack) -> ChromaIdeaStore:
    """The store of a run's ideas with its index, which is built if it is missing or stale.

    Raises:
        IdeaFileError: their file cannot be read.
        SettingsError: the embedding endpoint's base URL is not a URL.
        StorageError: the index cannot be written.
    """
    store = find_ideas(context, load_ideas(context, pack))
    store.ensure_index()
    return store


def make_selector(context: RunContext, pack: Pack, store: IdeaStore) -> Callable[[Sequence[Idea]], IdeaSelection]:
    """A function that selects ideas by ``--pin`` and ``--ban``, and adds the user's own ideas.

    Raises:
        SettingsError: a category is unknown, or no idea is left.
    """
    tree = attribute_tree(context, pack)
    pinned, banned = (_categories(flag, getattr(context, flag), tree) for flag in ("pin", "ban"))

    def select(own: Sequence[Idea]) -> IdeaSelection:
        return IdeaSelection(store, pinned=pinned, banned=banned, own=own)

    if not select(()).counts(Fairness.MAIN):
        raise SettingsError("--pin and --ban leave no idea to draw: pin more, or ban less")
    return select


def _categories(flag: str, names: Sequence[str], tree: AttributeTree) -> list[Key]:
    try:
        return [path for name in names for path in find_categories(name, tree)]
    except LookupError as error:
        raise SettingsError(f"--{flag}: {error.args[0]}") from error
