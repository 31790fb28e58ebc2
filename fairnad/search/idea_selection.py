"""The ideas a search may draw: pinned and banned categories, and ideas added by the user."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fairnad.ideas.attribute_tree import AttributeTree, Category
from fairnad.ideas.idea import Idea
from fairnad.ports import IdeaStore
from fairnad.search.sampling import DEPTHS, Fairness, Key, draw, fairness_key


def find_categories(name: str, tree: AttributeTree) -> tuple[Key, ...]:
    """The paths named by a main category, or by a whole path with or without a sub-category.

    Args:
        name: ``activation``, ``performance / operation / activation`` or ``performance/operation/activation/gelu``.

    Returns:
        Prefixes of paths; several if the name of the main category is used more than once.

    Raises:
        LookupError: no such category; the message names the nearest one.
    """
    wanted = _words(name)
    if len(wanted) == 1:
        found = tuple(_path(category) for category in tree.categories if category.main.casefold() == wanted[0])
        known = sorted({category.main for category in tree.categories})
    else:
        paths = list(_paths(tree))
        found = tuple(path for path in paths if tuple(part.casefold() for part in path) == wanted)
        known = [" / ".join(path) for path in paths]
    if not found:
        near = difflib.get_close_matches(" / ".join(wanted), known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise LookupError(f"there is no category {name!r}; {advice}")
    return found


def _words(name: str) -> Key:
    return tuple(" ".join(part.split()).casefold() for part in name.split("/"))


def _path(category: Category) -> Key:
    return (str(category.target), str(category.granularity), category.main)


def _paths(tree: AttributeTree) -> Iterator[Key]:
    for category, subs in tree.categories.items():
        yield _path(category)
        yield from ((*_path(category), sub) for sub in subs)


class IdeaSelection:
    """The ideas of a store that may be drawn, and the user's own. It is an :class:`fairnad.ports.IdeaStore` itself.

    Without pinned, banned or own ideas it draws exactly what the store draws.
    """

    def __init__(
        self,
        store: IdeaStore,
        *,
        pinned: Sequence[Key] = (),
        banned: Sequence[Key] = (),
        own: Sequence[Idea] = (),
    ) -> None:
        """Select ideas.

        Args:
            pinned: prefixes of the paths that may be drawn; empty: all.
            banned: prefixes of the paths that may not be drawn, even if pinned.
            own: tagged ideas of the user, drawn like those of the store.
        """
        self._store = store
        self._pinned, self._banned = tuple(pinned), tuple(banned)
        self._stored = store.counts(Fairness.SUB)
        self._own: dict[Key, list[Idea]] = {}
        for idea in own:
            if idea.tag is None:
                raise ValueError(f"expected own ideas with a tag, found none on {idea.text!r}")
            self._own.setdefault(fairness_key(idea.tag, Fairness.SUB), []).append(idea)

    def allows(self, idea: Idea) -> bool:
        """Whether an idea may be drawn. Ideas without a tag always may."""
        return idea.tag is None or self._may_be_drawn(fairness_key(idea.tag, Fairness.SUB))

    def counts(self, fairness: Fairness) -> Mapping[Key, int]:
        """Number of ideas that may be drawn by fairness key; keys without any are left out."""
        counts: Counter[Key] = Counter()
        for path, number in self._count_allowed().items():
            counts[path[: DEPTHS[fairness]]] += number
        return counts

    def draw(self, fairness: Fairness, key: Key, generator: np.random.Generator) -> Idea:
        """One idea of that key that may be drawn, uniformly.

        Raises:
            ValueError: no idea of that key may be drawn.
        """
        allowed = {path: number for path, number in self._count_allowed().items() if path[: len(key)] == key}
        if allowed == {path: number for path, number in self._stored.items() if path[: len(key)] == key}:
            return self._store.draw(fairness, key, generator)
        path = draw([path for path in sorted(allowed) for _ in range(allowed[path])], generator)
        own = self._own.get(path, [])
        number = int(generator.integers(allowed[path]))
        return own[number] if number < len(own) else self._store.draw(Fairness.SUB, path, generator)

    def _count_allowed(self) -> dict[Key, int]:
        """Number of ideas that may be drawn by whole path."""
        paths = [*self._stored, *(path for path in self._own if path not in self._stored)]
        return {
            path: self._stored.get(path, 0) + len(self._own.get(path, ())) for path in paths if self._may_be_drawn(path)
        }

    def _may_be_drawn(self, path: Key) -> bool:
        if self._pinned and not _lies_in(path, self._pinned):
            return False
        return not _lies_in(path, self._banned)


def _lies_in(path: Key, beginnings: Sequence[Key]) -> bool:
    return any(path[: len(beginning)] == beginning for beginning in beginnings)
