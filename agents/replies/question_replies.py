"""Reads the query that a reply understands a question as. Pure; no text raises an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from agents.replies.reply_schemas import UNDERSTANDING
from agents.replies.source_replies import json_objects
from fairnad.ideas.attribute_tree import AttributeTree, Granularity, Target
from fairnad.ideas.conversation import MAX_LIMIT, Preference, Topic, Turn, Understanding
from fairnad.ideas.idea_filter import IdeaFilter

_NEAR = 0.8

Member = TypeVar("Member", Target, Granularity, Topic, Preference)


def extract_understanding(
    reply: str, tree: AttributeTree, question: str, earlier: Sequence[Turn]
) -> Understanding | None:
    """The query in a reply; ``None`` if no query has a topic.

    A name that is not in the tree is replaced by a similar one, or left out. Years, candidates and ideas that neither
    the question nor the earlier turns mention are left out. The notes of the result say so.
    """
    query = _query(reply)
    if query is None:
        return None
    reading = _Reading(query, tree, question, earlier)
    topic = reading.member("topic", Topic)
    if topic is None:
        return None
    mains, subs = reading.categories("categories")
    without = reading.categories("without")
    target, level = reading.member("target", Target), reading.member("granularity", Granularity)
    filters = IdeaFilter(
        targets=(target,) if target else (),
        granularities=(level,) if level else (),
        mains=tuple(main for main in mains if not any(sub in subs for sub in reading.subs_of(main))),
        subs=subs,
        without=(*without[0], *without[1]),
        since=reading.year("since"),
        until=reading.year("until"),
    )
    limit = query.get("limit")
    return Understanding(
        topic=topic,
        text=" ".join(str(query.get("text") or "").split()) if topic in (Topic.IDEAS, Topic.CANDIDATES) else "",
        filters=filters,
        preference=reading.member("preference", Preference) or Preference.CLOSEST,
        candidates=reading.named("candidates"),
        ideas=reading.named("ideas"),
        limit=min(limit, MAX_LIMIT) if isinstance(limit, int) and limit > 0 else 0,
        notes=tuple(reading.notes),
    )


def _query(reply: str) -> dict[str, Any] | None:
    """The first JSON object with a field of a query."""
    fields = UNDERSTANDING["properties"].keys()
    return next((content for _, content in json_objects(reply, nested=True) if content.keys() & fields), None)


class _Reading:
    """One query, read field by field; ``notes`` list unusable values."""

    def __init__(self, query: dict[str, Any], tree: AttributeTree, question: str, earlier: Sequence[Turn]) -> None:
        self.notes: list[str] = []
        self._query = query
        self._tree = tree
        texts = [question, *(text for turn in earlier for text in (turn.question, *turn.cited))]
        self._conversation = " ".join(texts).lower()
        asked = [turn.understanding.filters for turn in earlier]
        self._years = {year for one in asked for year in (one.since, one.until)}

    def member(self, name: str, members: type[Member]) -> Member | None:
        """The member that a field names."""
        value = self._query.get(name)
        if not isinstance(value, str) or not value.strip():
            return None
        known = {str(member): member for member in members}
        near = _find_near(value, known)
        if near is None:
            self.notes.append(f"the model's {name} {value!r} is unknown")
            return None
        return known[near]

    def categories(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The (main categories, sub-categories) that a field names."""
        mains = {category.main: None for category in self._tree.categories}
        subs = {sub: None for category in self._tree.categories for sub in self.subs_of(category.main)}
        found: list[str] = []
        for value in _texts(self._query.get(name)):
            near = _find_near(value.split("/")[-1], [*subs, *mains])
            if near is None:
                self.notes.append(f"the model's category {value!r} is not in the tree")
            else:
                found.append(near)
        found = list(dict.fromkeys(found))
        return tuple(one for one in found if one not in subs), tuple(one for one in found if one in subs)

    def subs_of(self, main: str) -> list[str]:
        """The sub-categories of a main category, wherever it lies."""
        return [sub for category, subs in self._tree.categories.items() if category.main == main for sub in subs]

    def year(self, name: str) -> int | None:
        """A year that was mentioned, or the one next to it ("after 2020" is since 2021)."""
        value = self._query.get(name)
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        if value in self._years or any(str(value + shift) in self._conversation for shift in (-1, 0, 1)):
            return value
        self.notes.append(f"the model's {name} {value} was not asked for")
        return None

    def named(self, name: str) -> tuple[str, ...]:
        """Ids that were mentioned."""
        values = [value.strip().lower() for value in _texts(self._query.get(name))]
        mentioned = [value for value in values if value in ("base", "best") or (value and value in self._conversation)]
        for value in values:
            if value and value not in mentioned:
                self.notes.append(f"the model's {name.removesuffix('s')} {value!r} was not mentioned")
        return tuple(dict.fromkeys(mentioned))


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [str(one) for one in values if isinstance(one, str | int) and not isinstance(one, bool)]


def _find_near(value: str, known: Iterable[str]) -> str | None:
    names = {" ".join(name.replace("-", " ").casefold().split()): name for name in known}
    wanted = " ".join(value.replace("-", " ").casefold().split())
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=_NEAR)
    return names[near[0]] if near else None
