"""The lexicon of a pack: the words and code patterns by which the built-in roles recognise architecture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from prompts.pack_files import Text, read_yaml

Terms = list[Text]


@dataclass(frozen=True)
class Signs:
    """Patterns of one attribute: in prose, and any of ``code`` in the source of a model."""

    text: re.Pattern[str]
    code: tuple[re.Pattern[str], ...]


class Weights(BaseModel):
    """The weights of a paper's score, the logistic function of the weighted sum."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bias: float
    mechanisms: float
    in_title: float
    training: float
    data: float
    other_domains: float


@dataclass(frozen=True)
class Lexicon:
    """The compiled word lists of a pack.

    ``mechanisms`` has one pattern per concept; ``false_friends`` matches phrases that only resemble a concept.
    ``other_talk`` holds patterns of other subjects by the name of their weight; ``one_task_only`` matches parts that
    never belong to a backbone. A paper with a score of at least ``keep_above`` is kept.
    """

    mechanisms: tuple[re.Pattern[str], ...]
    false_friends: re.Pattern[str]
    other_talk: Mapping[str, re.Pattern[str]]
    one_task_only: re.Pattern[str]
    weights: Weights
    keep_above: float
    signs: Mapping[Tag, Signs]


class _OtherTalk(BaseModel):
    model_config = ConfigDict(extra="forbid")

    training: Terms
    data: Terms
    other_domains: Terms


class _Signs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Terms = Field(min_length=1)
    code: list[str] = []


class _LexiconFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mechanisms: list[Terms] = Field(min_length=1)
    not_mechanisms: Terms
    other_talk: _OtherTalk
    one_task_only: Terms
    weights: Weights
    keep_above: float = Field(ge=0, le=1)
    attributes: dict[Target, dict[Granularity, dict[Text, dict[Text, _Signs]]]]


def read_lexicon(path: Path) -> Lexicon:
    """The word lists of a file.

    Raises:
        PackError: the file is missing or malformed; the message names the entry.
    """
    file = read_yaml(path, _LexiconFile)
    talk = {name: _pattern(terms) for name, terms in file.other_talk.model_dump().items()}
    return Lexicon(
        mechanisms=tuple(_pattern(terms) for terms in file.mechanisms),
        false_friends=_pattern(file.not_mechanisms),
        other_talk=talk,
        one_task_only=_pattern(file.one_task_only),
        weights=file.weights,
        keep_above=file.keep_above,
        signs={
            Tag(target, granularity, main, sub): Signs(_pattern(signs.text), _code_patterns(path, sub, signs.code))
            for target, granularities in file.attributes.items()
            for granularity, mains in granularities.items()
            for main, subs in mains.items()
            for sub, signs in subs.items()
        },
    )


def term_pattern(term: str) -> re.Pattern[str]:
    """A pattern for whole words, singular or plural, joined by blanks or hyphens."""
    return _pattern([term])


def _pattern(terms: Iterable[str]) -> re.Pattern[str]:
    # Longest first: an alternation takes the first that fits.
    alternatives = sorted({_expression(term) for term in terms}, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)", re.IGNORECASE)


def _expression(term: str) -> str:
    words = [re.escape(word).replace(r"\*", r"\w*") for word in re.split(r"[\s-]+", term)]
    return r"[\s-]+".join(words) + ("" if term.endswith("*") else "s?")


def _code_patterns(path: Path, attribute: str, expressions: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(re.compile(expression) for expression in expressions)
    except re.error as error:
        raise PackError(f"{path}: code of {attribute!r}: not a regular expression: {error}: fix it") from error
