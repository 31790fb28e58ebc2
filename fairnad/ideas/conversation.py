"""A question about ideas and runs, what it was understood as, what was found, and the answer.

The steps are fixed: understand → retrieve → answer. The librarian plays the first and the last; between them the
stores are read by the program, so that an answer can hold nothing that was not found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from fairnad.ideas.idea_filter import IdeaFilter


class Topic(StrEnum):
    """What a question is about; each is looked up in its own way."""

    IDEAS = "ideas"
    """design ideas, by filters and meaning"""
    SIMILAR = "similar"
    """ideas close to one that is named"""
    COUNTS = "counts"
    """how many ideas there are, by category"""
    RUN = "run"
    """how far a run is, and how it did"""
    BEST = "best"
    """the best candidates of a run"""
    CANDIDATE = "candidate"
    """one candidate: what it is, and what became of it"""
    CANDIDATES = "candidates"
    """candidates of a run, by filters on their ideas"""
    LINEAGE = "lineage"
    """whom a candidate descends from"""
    DIFF = "diff"
    """how two candidates differ"""
    CATEGORIES = "categories"
    """which categories of ideas were tried in a run, and helped"""
    FAILURES = "failures"
    """why candidates of a run were discarded"""


RUN_TOPICS = frozenset(set(Topic) - {Topic.IDEAS, Topic.SIMILAR, Topic.COUNTS})
"""The topics that are about a run."""


class Preference(StrEnum):
    """What comes first among what was found."""

    CLOSEST = "closest"
    """what is closest in meaning; of candidates, the most accurate"""
    CHEAP = "cheap"
    """what costs little"""
    NEWEST = "newest"
    """what was published last"""


MAX_LIMIT = 50
"""Items one answer is made from, at most."""


@dataclass(frozen=True, slots=True)
class Understanding:
    """A question as something that can be looked up.

    ``text`` is searched by meaning, empty where the filters say it all. ``candidates`` are named as the person did:
    ids, parts of ids, numbers in the order of drawing, ``base``, ``best``. ``limit`` is how many items were asked
    for, 0 where that was left open. ``notes`` say what could not be understood.
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
    """Something that was found, told in a sentence or some lines that name every id in square brackets."""

    text: str
    ideas: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id it may be cited by."""
        return (*self.candidates, *self.ideas)


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier question of the same conversation, with what came of it."""

    question: str
    understanding: Understanding
    answer: str
    cited: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with the ids it cites, in the order they come up; ``notes`` say what did not go as it should."""

    text: str
    cited: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Librarian(Protocol):
    """Understands questions, and answers them from what was found."""

    async def understand(self, question: str, earlier: tuple[Turn, ...]) -> Understanding:
        """The question as something that can be looked up; ``earlier`` are the turns before it, the oldest first."""

    async def answer(
        self, question: str, understanding: Understanding, evidence: tuple[Evidence, ...], earlier: tuple[Turn, ...]
    ) -> Reply:
        """The answer to a question, made of the evidence alone."""
