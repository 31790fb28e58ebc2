"""What the librarian stands in front of: the ideas, and one run, all open for reading alone."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.errors import IdeaIndexError
from fairnad.settings.search_settings import RunContext
from graphs.runtime.idea_base import find_ideas, load_ideas
from graphs.runtime.stored_runs import StoredRun, find_run, open_run, run_folders

if TYPE_CHECKING:
    from agents.builtin.phrases import Phrasebook
    from prompts.librarian_pack import LibrarianPack
    from store.idea_store import ChromaIdeaStore

_MOST_OPEN = 4
"""Idea stores a server keeps open, the last used ones."""


@dataclass(frozen=True)
class Shelf:
    """The ideas of some settings with the pack they belong to."""

    pack: LibrarianPack
    ideas: ChromaIdeaStore

    @cached_property
    def saving(self) -> Phrasebook:
        """By which words an idea shows that it costs little."""
        from agents.builtin.phrases import phrasebook

        return phrasebook(self.pack.words.saving)

    @cached_property
    def costly(self) -> Phrasebook:
        """By which words an idea shows that it costs much."""
        from agents.builtin.phrases import phrasebook

        return phrasebook(self.pack.words.costly)


_Key = tuple[str, str, str, str, str, tuple[int, ...]]
_open: dict[_Key, Shelf] = {}
_opening = threading.Lock()


def open_shelf(context: RunContext) -> Shelf:
    """The shelf of these settings, kept open for the next question while its files stay as they are.

    Raises:
        UserError: the pack or the ideas cannot be read, or an embedding endpoint is named and has not yet been asked
            for the vectors of these ideas, which nobody does on the side.
    """
    from prompts.librarian_pack import load_librarian_pack
    from prompts.loader import load_pack

    pack = load_pack(context.pack)
    file = Path(context.ideas) if context.ideas else pack.ideas_file
    embedding = context.embedding
    stamp = (file.stat().st_mtime_ns, file.stat().st_size) if file.exists() else ()
    key = (pack.digest, str(file), context.runs, embedding.model, embedding.base_url, stamp)
    with _opening:
        if key not in _open:
            store = find_ideas(context, load_ideas(context, pack), read_only=True)
            if embedding.model and not store.is_indexed():
                raise IdeaIndexError(
                    f"the {len(store)} ideas have no vectors by {embedding.model} yet: "
                    "make them with `python -m graphs.search index` and the same flags"
                )
            librarian_pack = load_librarian_pack(pack)
            tree = librarian_pack.tree.grown([idea.tag for idea in store if idea.tag is not None])
            _open[key] = Shelf(replace(librarian_pack, tree=tree), store)
            while len(_open) > _MOST_OPEN:
                _open.pop(next(iter(_open))).ideas.close()
        return _open[key]


@contextlib.contextmanager
def open_run_of(context: RunContext) -> Iterator[StoredRun | None]:
    """The run that is asked about: the one that is named, or else the last that was worked on; ``None`` without any.

    Raises:
        RunFolderError: there is no run of that name, or it is of another version.
    """
    runs = Path(context.runs)
    if not context.run and not run_folders(runs):
        yield None
        return
    with open_run(find_run(runs, context.run)) as run:
        yield run


def close_shelves() -> None:
    """Let go of every idea store."""
    with _opening:
        while _open:
            _open.popitem()[1].ideas.close()
