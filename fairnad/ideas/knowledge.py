"""Values for building knowledge: reference models, papers, verdicts, ideas, and the two roles (paper §4.1–4.2).

Each role has two implementations, by a language model and built in. A problem with a paper is data, a
:class:`Problem`: it is reported, and the build continues.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from fairnad.ideas.attribute_tree import Tag
from fairnad.ideas.idea import MAX_IDEA_WORDS, Idea, Source
from fairnad.ports import CallContext
from fairnad.records.candidate import Failure

LEAST_IDEA_WORDS = 4
"""Shorter texts are headings or remarks."""


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """A reference model, or one ``part`` of its source if the whole is too long, counted from 0."""

    name: str
    code: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """A design attribute as named by a structurer: the words of a path, which may not be in the template."""

    target: str
    granularity: str
    main: str
    name: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All attributes of one reference model."""

    model: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper.

    ``page`` locates title and abstract, ``document`` the full text: a URL or a path, or empty. ``link`` is shown to
    readers.
    """

    paper_id: str
    title: str = ""
    abstract: str = ""
    year: int | None = None
    link: str = ""
    page: str = ""
    document: str = ""

    @property
    def title_key(self) -> str:
        """The title without case, blanks and punctuation; empty if there is none."""
        return re.sub(r"[^a-z0-9]+", "", self.title.lower())


@dataclass(frozen=True, slots=True)
class Passage:
    """The part of a paper from which ideas are extracted; ``section`` is its heading, or empty."""

    section: str
    text: str


@dataclass(frozen=True, slots=True)
class PaperVerdict:
    """Filter: whether a paper holds an idea for a backbone, and its tag (paper F.2.2).

    ``score`` is in [0, 1]; a language model gives 0 or 1. ``repaired``: the tag was not in the tree and was replaced by
    the nearest one. ``tag`` is ``None`` for discarded papers, and possibly if the tree was not shown.
    """

    keep: bool
    score: float
    tag: Tag | None = None
    repaired: bool = False


class Dropped(StrEnum):
    """Why an extracted text is not used as an idea."""

    NO_CATEGORY = "no category of the tree"
    """the tag is missing or unlike any category of the tree"""
    TOO_LONG = "fifty words or more"
    """fifty words or more, or fewer than four"""
    OFF_TOPIC = "off topic"
    """about training, data or another domain"""
    REPEATED = "said twice in the paper"
    """repeated within the paper"""


@dataclass(frozen=True, slots=True)
class Extraction:
    """The extracted ideas of a paper; ``dropped`` counts unused texts by reason, ``num_repaired`` repaired tags."""

    ideas: tuple[Idea, ...]
    num_repaired: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


def collect_ideas(tagged: Iterable[tuple[str, Tag | None]], source: Source, num_repaired: int = 0) -> Extraction:
    """The ideas of one paper, and the number of unused texts by reason."""
    dropped: Counter[str] = Counter()
    ideas: dict[str, Idea] = {}
    for text, tag in tagged:
        if not LEAST_IDEA_WORDS <= len(text.split()) <= MAX_IDEA_WORDS:
            dropped[Dropped.TOO_LONG] += 1
        elif tag is None:
            dropped[Dropped.NO_CATEGORY] += 1
        elif text.lower() in ideas:
            dropped[Dropped.REPEATED] += 1
        else:
            ideas[text.lower()] = Idea(text, tag=tag, source=source)
    return Extraction(tuple(ideas.values()), num_repaired, dict(dropped))


class ProblemKind(StrEnum):
    """Kinds of problems with a source, a paper or a reference model."""

    MISSING = "not found"
    """no such file, package or paper"""
    BROKEN = "cannot be read"
    """a file is damaged, encrypted, or of another type than its name says"""
    EMPTY = "empty"
    """a file or page holds no text"""
    NO_ABSTRACT = "without title and abstract"
    """the paper has no abstract"""
    NO_METHOD = "without a method section"
    """no method heading; the text between introduction and experiments, or all of it, was read instead"""
    FORBIDDEN = "not allowed by robots.txt"
    """the site asks programs to stay away"""
    UNREACHABLE = "could not be fetched"
    """the site does not answer, or refuses"""
    REPLY = "unusable reply"
    """the language model's reply could not be understood"""
    ENDPOINT = "endpoint did not answer"
    """the language model did not answer; the next start asks again"""


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem with ``where``, a source or a paper's title; ``message`` is one line."""

    kind: ProblemKind
    where: str
    message: str = ""


class AttributeStructurer(Protocol):
    """Names the design attributes of a reference model (paper F.2.1)."""

    async def structure(self, context: CallContext, model: ReferenceModel) -> Findings | Failure:
        """The attributes of one model, or of one part of it."""


class PaperReader(Protocol):
    """Filters papers, and extracts their ideas (paper F.2.2)."""

    async def judge(self, context: CallContext, paper: Paper) -> PaperVerdict | Failure:
        """Filter by title and abstract."""

    async def extract(self, context: CallContext, paper: Paper, passage: Passage) -> Extraction | Failure:
        """Extract ideas from the method. Every idea is tagged and names the paper as its source."""
