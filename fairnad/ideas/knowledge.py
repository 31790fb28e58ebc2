"""What knowledge is built from and of: reference models, papers, verdicts, ideas, and the two roles (paper §4.1–4.2).

The roles have two implementations each, by a language model and built in. What is wrong with a paper is data, a
:class:`Problem`: it is counted and named, and the next paper is read.
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
from fairnad.ports import Errand
from fairnad.records.candidate import Failure

LEAST_IDEA_WORDS = 4
"""What is shorter is a heading or a remark."""


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """A well-known model, or one ``part`` of its source where the whole does not fit, counted from 0."""

    name: str
    code: str
    part: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """A design attribute as a structurer names it: the words of a path, which need not be in the template."""

    target: str
    granularity: str
    main: str
    name: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Every attribute of one reference model."""

    model: str
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper on its way.

    ``page`` is where title and abstract are told, ``document`` where the full text is: a URL, or the path of a file;
    empty where there is none. ``link`` is what a reader is shown.
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
        """The same for titles that differ in case, blanks and punctuation alone; empty where there is none."""
        return re.sub(r"[^a-z0-9]+", "", self.title.lower())


@dataclass(frozen=True, slots=True)
class Passage:
    """The part of a paper that ideas are extracted from; ``section`` is its heading, empty where none was found."""

    section: str
    text: str


@dataclass(frozen=True, slots=True)
class PaperVerdict:
    """Stage 1: whether a paper holds an idea for a backbone, and under which tag (paper F.2.2).

    ``score`` is in [0, 1], of a language model 0 or 1. ``repaired`` says that the tag was not in the tree and is the
    nearest that is. ``tag`` is ``None`` for papers that are discarded, and may be where the tree was not shown.
    """

    keep: bool
    score: float
    tag: Tag | None = None
    repaired: bool = False


class Dropped(StrEnum):
    """Why something that stage 2 found is no idea."""

    NO_CATEGORY = "no category of the tree"
    """the tag is missing, or near no category of the tree"""
    TOO_LONG = "fifty words or more"
    """it has fifty words or more, or fewer than four"""
    OFF_TOPIC = "off topic"
    """it speaks of training, data or another domain"""
    REPEATED = "said twice in the paper"
    """the same paper has said it before"""


@dataclass(frozen=True, slots=True)
class Extraction:
    """Stage 2: the ideas of a paper; ``dropped`` counts what was none by reason, ``num_repaired`` the mended tags."""

    ideas: tuple[Idea, ...]
    num_repaired: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


def collect_ideas(tagged: Iterable[tuple[str, Tag | None]], source: Source, num_repaired: int = 0) -> Extraction:
    """The ideas of one paper; what is none of them is counted by reason."""
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
    """What can be wrong with a source, a paper or a reference model."""

    MISSING = "not found"
    """there is no such file, package or paper"""
    BROKEN = "cannot be read"
    """a file is damaged, encrypted or not what its name says"""
    EMPTY = "empty"
    """a file or page holds no text"""
    NO_ABSTRACT = "without title and abstract"
    """there is nothing to judge the paper by"""
    NO_METHOD = "without a method section"
    """no heading was found; the text between introduction and experiments, or all of it, was read instead"""
    FORBIDDEN = "not allowed by robots.txt"
    """the site asks programs to stay away"""
    UNREACHABLE = "could not be fetched"
    """the site does not answer, or refuses"""
    REPLY = "unusable reply"
    """the language model's reply could not be understood"""
    ENDPOINT = "endpoint did not answer"
    """the language model was not reached; the next start asks again"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something was wrong with ``where``, a source or a paper's title; ``message`` is one line."""

    kind: ProblemKind
    where: str
    message: str = ""


class AttributeStructurer(Protocol):
    """Names the design attributes of a reference model (paper F.2.1)."""

    async def structure(self, errand: Errand, model: ReferenceModel) -> Findings | Failure:
        """The attributes of one model, or of one part of it."""


class PaperReader(Protocol):
    """Filters papers, and extracts their ideas (paper F.2.2)."""

    async def judge(self, errand: Errand, paper: Paper) -> PaperVerdict | Failure:
        """Stage 1, from title and abstract."""

    async def extract(self, errand: Errand, paper: Paper, passage: Passage) -> Extraction | Failure:
        """Stage 2, from the method; every idea is tagged and names the paper as its source."""
