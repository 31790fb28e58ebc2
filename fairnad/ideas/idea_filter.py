"""An exact filter of ideas by tags and sources."""

from __future__ import annotations

from dataclasses import dataclass

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea


@dataclass(frozen=True, slots=True)
class IdeaFilter:
    """Conditions on an idea; empty ones and ``None`` are ignored.

    ``mains`` and ``subs`` are names of main and sub-categories anywhere in the tree, case-insensitive. An idea must
    lie in one of them and in none of ``without``, which holds names of both levels. ``since`` and ``until`` bound the
    year of the source, inclusive; an unknown year does not pass. ``title`` must occur in the title of the source,
    case-insensitive.
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
        """Whether there is any condition."""
        return self != IdeaFilter()

    def passes(self, idea: Idea) -> bool:
        """Whether ``idea`` passes. Without a tag, it passes only if there is no condition on the tag."""
        return self.passes_tag(idea.tag) and self.passes_source(idea)

    def passes_tag(self, tag: Tag | None) -> bool:
        """Whether a tag passes."""
        if tag is None:
            return not (self.targets or self.granularities or self.mains or self.subs)
        if (self.targets and tag.target not in self.targets) or (
            self.granularities and tag.granularity not in self.granularities
        ):
            return False
        main, sub = tag.main.casefold(), tag.sub.casefold()
        if _is_among(main, self.without) or _is_among(sub, self.without):
            return False
        return not (self.mains or self.subs) or _is_among(main, self.mains) or _is_among(sub, self.subs)

    def passes_source(self, idea: Idea) -> bool:
        """Whether the source of ``idea`` passes."""
        year = idea.source.year
        if self.since is not None and (year is None or year < self.since):
            return False
        if self.until is not None and (year is None or year > self.until):
            return False
        return self.title.casefold() in idea.source.title.casefold()


def _is_among(name: str, names: tuple[str, ...]) -> bool:
    return any(name == other.casefold() for other in names)


def filter_text(asked: IdeaFilter) -> str:
    """The filter in words; empty without conditions."""
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
