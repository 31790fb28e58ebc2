"""Near-duplicate ideas become one that keeps all sources (paper §4.2: the knowledge base holds each idea once)."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairnad.ideas.idea import Idea, Source

NEAR = 0.8
"""Ideas with at least this share of common words (intersection over union) are merged."""
_SMALL_WORDS = frozenset(
    re.findall(r"\w+", "a an and as at by for from in into is it its of on or that the this to with")
)


@dataclass(frozen=True, slots=True)
class MergedIdeas:
    """The distinct ideas in the order of their first mention; ``num_merged`` counts the duplicates."""

    ideas: tuple[Idea, ...]
    num_merged: int


def merge_ideas(ideas: Sequence[Idea]) -> MergedIdeas:
    """Merge near-duplicates: the first idea is kept, with the sources of all."""
    words = [_words(idea.text) for idea in ideas]
    frequencies = Counter(word for found in words for word in found)
    by_word: dict[str, list[int]] = defaultdict(list)
    sources: dict[int, list[Source]] = {}
    for number, found in enumerate(words):
        first = _find_near(found, words, _rarest(found, frequencies), by_word)
        if first is not None:
            sources[first] += [ideas[number].source, *ideas[number].also]
            continue
        sources[number] = list(ideas[number].also)
        for word in _rarest(found, frequencies):
            by_word[word].append(number)
    merged = [_with_sources(ideas[number], also) for number, also in sources.items()]
    return MergedIdeas(tuple(merged), len(ideas) - len(merged))


def _find_near(
    found: frozenset[str],
    words: Sequence[frozenset[str]],
    rarest: Sequence[str],
    by_word: dict[str, list[int]],
) -> int | None:
    candidates = {number for word in rarest for number in by_word.get(word, ())}
    for number in sorted(candidates):
        common = len(found & words[number])
        if common >= NEAR * (len(found) + len(words[number]) - common):
            return number
    return None


def _rarest(found: frozenset[str], frequencies: Counter[str]) -> list[str]:
    """The rarest words of an idea. Two near-duplicates share at least one of them."""
    ordered = sorted(found, key=lambda word: (frequencies[word], word))
    return ordered[: len(ordered) - math.ceil(NEAR * len(ordered)) + 1]


def _words(text: str) -> frozenset[str]:
    found = frozenset(re.findall(r"[a-z0-9]+", text.lower()))
    return found - _SMALL_WORDS or found


def _with_sources(idea: Idea, also: Sequence[Source]) -> Idea:
    others = tuple(source for source in dict.fromkeys(also) if source != idea.source)
    return replace(idea, also=others)
