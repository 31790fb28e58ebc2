"""Which ideas are meant: a filter over tags and sources, exact and without meaning."""

from __future__ import annotations

from dataclasses import dataclass

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea


@dataclass(frozen=True, slots=True)
class IdeaFilter:
    """What an idea must be to pass; what is empty or ``None`` asks for nothing.

    ``mains`` and ``subs`` are names of main and sub-categories, in any case, wherever in the tree they lie; an idea
    passes that lies in any of them, and in none of ``without``, which holds names of either. ``since`` and ``until``
    bound the year of the source, both included; an idea whose year is unknown passes neither. ``title`` must be in
    the title of the source, in any case.
    """

    targets: tuple[Target, ...] = ()
    granularities: tuple[Granularity, ...] = ()
    mains: tuple[str, ...] = ()
    subs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    title: str = ""

    def __bool__(self) -> bool:
        """Whether it asks for anything."""
        return self != IdeaFilter()

    def passes(self, idea: Idea) -> bool:
        """Whether ``idea`` is meant. One without a tag is only where no tag is asked for."""
        return self.passes_tag(idea.tag) and self.passes_source(idea)

    def passes_tag(self, tag: Tag | None) -> bool:
        """Whether a tag is one of those meant."""
        if tag is None:
            return not (self.targets or self.granularities or self.mains or self.subs)
        if (self.targets and tag.target not in self.targets) or (
            self.granularities and tag.granularity not in self.granularities
        ):
            return False
        main, sub = tag.main.casefold(), tag.sub.casefold()
        if _named(main, self.without) or _named(sub, self.without):
            return False
        return not (self.mains or self.subs) or _named(main, self.mains) or _named(sub, self.subs)

    def passes_source(self, idea: Idea) -> bool:
        """Whether the source of ``idea`` is one of those meant."""
        year = idea.source.year
        if self.since is not None and (year is None or year < self.since):
            return False
        if self.until is not None and (year is None or year > self.until):
            return False
        return self.title.casefold() in idea.source.title.casefold()


def _named(name: str, names: tuple[str, ...]) -> bool:
    return any(name == other.casefold() for other in names)


def filter_text(asked: IdeaFilter) -> str:
    """The filter in words, empty where it asks for nothing."""
    parts = [" or ".join((*asked.subs, *asked.mains)), " or ".join(f"{name} level" for name in asked.granularities)]
    parts += [" or ".join(f"for {name}" for name in asked.targets)]
    if asked.without:
        parts.append("without " + " or ".join(asked.without))
    if asked.since is not None and asked.since == asked.until:
        parts.append(f"of {asked.since}")
    else:
        parts.append(f"from {asked.since} on" if asked.since is not None else "")
        parts.append(f"up to {asked.until}" if asked.until is not None else "")
    parts.append(f"of sources named {asked.title!r}" if asked.title else "")
    return ", ".join(filter(None, parts))
