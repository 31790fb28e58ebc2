"""The attribute tree, which classifies design ideas (paper §4.1, Tables 9 and 10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Target(StrEnum):
    """The goal of an attribute."""

    PERFORMANCE = "performance"
    EFFICIENCY = "efficiency"


class Granularity(StrEnum):
    """The part of a network that an attribute concerns. It decides the mutation target (§4.3.1)."""

    OPERATION = "operation"
    BLOCK = "block and connectivity"
    NETWORK = "network"


@dataclass(frozen=True, slots=True, order=True)
class Category:
    """A main category with its place in the tree: the key of fair sampling (Algorithm 2, lines 6 and 16)."""

    target: Target
    granularity: Granularity
    main: str

    def __str__(self) -> str:
        return f"{self.target} / {self.granularity} / {self.main}"


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A whole path through the tree; ``sub`` is empty where a main category has no sub-categories."""

    target: Target
    granularity: Granularity
    main: str
    sub: str = ""

    @property
    def category(self) -> Category:
        """The main category the tag lies in."""
        return Category(self.target, self.granularity, self.main)

    def __str__(self) -> str:
        return f"{self.category}" + (f" / {self.sub}" if self.sub else "")


@dataclass(frozen=True)
class AttributeTree:
    """Main categories in their order, each with its sub-categories (level 3 may be empty)."""

    categories: Mapping[Category, tuple[str, ...]]

    def __contains__(self, tag: object) -> bool:
        """Whether ``tag`` is a path of this tree; an empty ``sub`` is always one."""
        if not isinstance(tag, Tag) or tag.category not in self.categories:
            return False
        return not tag.sub or tag.sub in self.categories[tag.category]

    def tags(self) -> Iterator[Tag]:
        """All whole paths. A main category without sub-categories appears once, with an empty ``sub``."""
        for category, subs in self.categories.items():
            for sub in subs or ("",):
                yield Tag(category.target, category.granularity, category.main, sub)

    def grown(self, tags: Iterable[Tag]) -> AttributeTree:
        """This tree plus the missing categories and sub-categories of ``tags``, each appended at its level."""
        categories = {category: list(subs) for category, subs in self.categories.items()}
        for tag in tags:
            subs = categories.setdefault(tag.category, [])
            if tag.sub and tag.sub not in subs:
                subs.append(tag.sub)
        return AttributeTree({category: tuple(subs) for category, subs in categories.items()})

    def outline(self, target: Target) -> dict[str, dict[str, list[str]]]:
        """The tree of one target as ``{granularity: {main: [sub, …]}}``, the form prompts show."""
        outline: dict[str, dict[str, list[str]]] = {}
        for category, subs in self.categories.items():
            if category.target == target:
                outline.setdefault(str(category.granularity), {})[category.main] = list(subs)
        return outline


@dataclass(frozen=True, slots=True)
class CategoryNote:
    """A description of a main category, for the structurer."""

    about: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class AttributeTemplate:
    """𝒯attr: the upper two levels of the tree with descriptions (paper §4.1). Reference models supply the third."""

    notes: Mapping[Category, CategoryNote]

    def outline(self) -> dict[str, dict[str, dict[str, CategoryNote]]]:
        """``{target: {granularity: {main: note}}}``, the form prompts show."""
        outline: dict[str, dict[str, dict[str, CategoryNote]]] = {}
        for category, note in self.notes.items():
            levels = outline.setdefault(str(category.target), {})
            levels.setdefault(str(category.granularity), {})[category.main] = note
        return outline
