"""Questions about ideas and runs: the parsed question, the evidence found, and the answer.

The steps are fixed: understand → retrieve → answer. The librarian plays the first and the last. The program reads the
stores in between.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from fairnad.ideas.idea_filter import IdeaFilter


class Topic(StrEnum):
    """The topic of a question; each has its own retrieval."""

    IDEAS = "ideas"
    """design ideas, by filters and meaning"""
    SIMILAR = "similar"
    """ideas similar to a given one"""
    COUNTS = "counts"
    """how many ideas there are, by category"""
    RUN = "run"
    """progress and results of a run"""
    BEST = "best"
    """the best candidates of a run"""
    CANDIDATE = "candidate"
    """one candidate and its outcome"""
    CANDIDATES = "candidates"
    """candidates of a run, by filters on their ideas"""
    LINEAGE = "lineage"
    """the ancestors of a candidate"""
    DIFF = "diff"
    """how two candidates differ"""
    CATEGORIES = "categories"
    """which categories of ideas were tried in a run, and helped"""
    FAILURES = "failures"
    """why candidates of a run were discarded"""


RUN_TOPICS = frozenset(set(Topic) - {Topic.IDEAS, Topic.SIMILAR, Topic.COUNTS})
"""The topics that are about a run."""


class Preference(StrEnum):
    """The order of the items found."""

    CLOSEST = "closest"
    """closest in meaning; for candidates, most accurate"""
    CHEAP = "cheap"
    """cheapest"""
    NEWEST = "newest"
    """newest"""


MAX_LIMIT = 50
"""The maximum number of items for one answer."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """A question as a query.

    ``text`` is searched by meaning; it is empty if the filters are enough. ``candidates`` are named as in the
    question: ids, parts of ids, numbers in the order of drawing, ``base``, ``best``. ``limit`` is the requested number
    of items, or 0. ``notes`` say what was not understood.
    """

    topic: Topic = Topic.IDEAS
    text: str = ""
    filters: IdeaFilter = field(default_factory=IdeaFilter)
    preference: Preference = Preference.CLOSEST
    candidates: tuple[str, ...] = ()
    ideas: tuple[str, ...] = ()
    limit: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """A piece of evidence: text that cites every id in square brackets."""

    text: str
    ideas: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id it may be cited by."""
        return (*self.candidates, *self.ideas)


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question of the same conversation with its query and answer."""

    question: str
    understanding: Understanding
    answer: str
    cited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with the cited ids in order; ``notes`` report problems."""

    text: str
    cited: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Librarian(Protocol):
    """Understands questions and answers them from evidence."""

    async def understand(self, question: str, earlier: tuple[Turn, ...]) -> Understanding:
        """The question as a query; ``earlier`` are the previous turns, oldest first."""

    async def answer(
        self, question: str, understanding: Understanding, evidence: tuple[Evidence, ...], earlier: tuple[Turn, ...]
    ) -> Reply:
        """The answer to a question, from the evidence alone."""
