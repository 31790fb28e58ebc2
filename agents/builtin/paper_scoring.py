"""How much a title and an abstract speak of architecture, by the word lists of a pack. Pure.

A paper's score depends on that paper alone, so that a verdict is the same whatever else is read, and when.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

from prompts.lexicon import Lexicon

_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Features:
    """What a score is made of, all at least 0.

    ``mechanisms`` is the logarithm of how many different concepts of architecture are named, plus one; ``in_title``
    counts those in the title. The others are shares of words that speak of something else, in percent.
    """

    mechanisms: float
    in_title: float
    training: float
    data: float
    other_domains: float


FEATURES = tuple(entry.name for entry in fields(Features))


def features(title: str, abstract: str, lexicon: Lexicon) -> Features:
    """What the words of a paper say."""
    text = lexicon.false_friends.sub(" ", f"{title}. {abstract}")
    heading = lexicon.false_friends.sub(" ", title)
    num_words = max(len(_WORDS.findall(text)), 1)
    talk: Mapping[str, float] = {
        name: 100 * len(pattern.findall(text)) / num_words for name, pattern in lexicon.other_talk.items()
    }
    named = sum(1 for concept in lexicon.mechanisms if concept.search(text))
    in_title = sum(1 for concept in lexicon.mechanisms if concept.search(heading))
    return Features(mechanisms=math.log1p(named), in_title=float(in_title), **talk)


def score(found: Features, lexicon: Lexicon) -> float:
    """In (0, 1); higher speaks more of architecture."""
    weights = [getattr(lexicon.weights, name) for name in FEATURES]
    total = lexicon.weights.bias + sum(w * value for w, value in zip(weights, astuple(found), strict=True))
    return 1 / (1 + math.exp(-total))
