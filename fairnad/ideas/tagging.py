"""Finds the tag of the tree for a path named by a language model, and repairs misspelt names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from fairnad.ideas.attribute_tree import AttributeTree, Category, Tag

_SEPARATORS = re.compile(r"\s*(?:[/*>|→]|::)\s*")
_MARKS = " \t*_`'\"“”#.-"
_NEAR = 0.75
"""The least similarity at which a misspelt or reworded name matches one of the tree."""


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A tag of the tree; ``exact`` if it was named exactly."""

    tag: Tag
    exact: bool


def find_tag(path: str, tree: AttributeTree) -> FoundTag | None:
    """The tag of the tree for ``target / level / main category / sub-category``; ``None`` if none is similar.

    Wrong parts are repaired: the main category decides, by the most similar name; otherwise the sub-category does. A
    sub-category unlike any of its main category is left empty.
    """
    parts = [clean_name(part) for part in _SEPARATORS.split(path)]
    parts = [re.sub(r" level$", "", part) for part in parts if part]
    if not parts:
        return None
    named = parts if len(parts) > 2 else ["", "", *parts]
    names = [*named, "", ""][:4]
    category = _find_category(names, tree)
    if category is None:
        return _find_by_sub(names[3] or names[2], tree)
    sub = _nearest(names[3], tree.categories[category]) if names[3] else ""
    tag = Tag(category.target, category.granularity, category.main, sub or "")
    exact = [str(tag.target), str(tag.granularity), tag.main.lower(), tag.sub.lower()] == names
    return FoundTag(tag, exact)


def clean_name(text: str) -> str:
    """A name in lower case, with single blanks and without the marks models put around it."""
    return " ".join(text.strip(_MARKS).lower().split())


def _find_category(names: Sequence[str], tree: AttributeTree) -> Category | None:
    target, granularity, main, _ = names
    found = _nearest(main, list(dict.fromkeys(category.main for category in tree.categories)))
    if found is None:
        return None
    candidates = [category for category in tree.categories if category.main == found]
    return max(candidates, key=lambda category: (category.target == target, category.granularity == granularity))


def _find_by_sub(name: str, tree: AttributeTree) -> FoundTag | None:
    found = _nearest(name, list(dict.fromkeys(tag.sub for tag in tree.tags() if tag.sub)))
    if found is None:
        return None
    return FoundTag(next(tag for tag in tree.tags() if tag.sub == found), exact=False)


def _nearest(name: str, known: Sequence[str]) -> str | None:
    spellings = {text.lower(): text for text in known}
    if not name or name in spellings:
        return spellings.get(name)
    near = difflib.get_close_matches(name, spellings, n=1, cutoff=_NEAR)
    return spellings[near[0]] if near else None
