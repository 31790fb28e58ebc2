"""Tags texts by the signs of the lexicon and by the most similar ideas of the pack."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from fairnad.ideas.attribute_tree import AttributeTree, Category, Tag
from fairnad.ideas.idea import Idea
from prompts.lexicon import Signs, term_pattern

_NUM_NEIGHBOURS = 15
_NEIGHBOUR_WEIGHT = 4.0
"""Both were chosen by leave-one-out on the vision pack's ideas; see docs/knowledge.md."""


class Tagger:
    """Tags texts by an attribute tree.

    A sign in fewer examples has more weight. The sign of a sub-category that the lexicon lacks is its name.
    """

    def __init__(self, tree: AttributeTree, known: Mapping[Tag, Signs], examples: Sequence[Idea]) -> None:
        self._examples = [idea for idea in examples if idea.tag is not None and idea.tag in tree]
        self._signs = _signs(tree, known)
        texts = [idea.text for idea in self._examples]
        self._rarity = {
            tag: math.log(1 + len(texts) / (1 + sum(1 for text in texts if any(sign.search(text) for sign in signs))))
            for tag, signs in self._signs.items()
        }
        if not texts:  # without examples, every sign weighs the same
            self._rarity = dict.fromkeys(self._signs, 1.0)

    def tag(self, text: str) -> Tag | None:
        """The most likely tag; ``None`` if nothing matches."""
        scores: dict[Tag, float] = defaultdict(float)
        for tag, signs in self._signs.items():
            found = {match.lower() for sign in signs for match in sign.findall(text)}
            if found:
                scores[tag] = len(found) * self._rarity[tag]
        neighbours: dict[Category, float] = defaultdict(float)
        best: dict[Category, float] = defaultdict(float)
        for tag, score in scores.items():
            best[tag.category] = max(best[tag.category], score)
        for idea, likeness in self._nearest(text):
            assert idea.tag is not None
            neighbours[idea.tag.category] += _NEIGHBOUR_WEIGHT * likeness
            scores[idea.tag] += _NEIGHBOUR_WEIGHT * likeness
        shown = best or neighbours  # neighbours alone are a guess, used if no sign matches
        if not shown:
            return None
        totals = {category: best.get(category, 0.0) + neighbours[category] for category in list(shown)}
        category = max(sorted(totals), key=totals.__getitem__)
        inside = [tag for tag in sorted(scores) if tag.category == category]
        return max(inside, key=scores.__getitem__)

    def tag_by_sign(self, text: str) -> Tag | None:
        """The most likely tag; ``None`` if no sign matches, even if an example is similar."""
        shows = any(sign.search(text) for signs in self._signs.values() for sign in signs)
        return self.tag(text) if shows else None

    def _nearest(self, text: str) -> list[tuple[Idea, float]]:
        if not self._examples:
            return []
        vectorizer, vectors = self._index
        likeness = np.asarray((vectors @ vectorizer.transform([text]).T).todense()).ravel()
        nearest = np.argsort(-likeness, kind="stable")[:_NUM_NEIGHBOURS]
        return [(self._examples[number], float(likeness[number])) for number in nearest if likeness[number] > 0]

    @cached_property
    def _index(self) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import TfidfVectorizer  # about a second

        vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True, ngram_range=(1, 2))
        return vectorizer, vectorizer.fit_transform([idea.text for idea in self._examples])


def _signs(tree: AttributeTree, known: Mapping[Tag, Signs]) -> dict[Tag, list[re.Pattern[str]]]:
    """The patterns of every tag; signs of sub-categories that the tree lacks count for their category."""
    signs: dict[Tag, list[re.Pattern[str]]] = defaultdict(list)
    for tag, found in known.items():
        if tag.category in tree.categories:
            signs[tag if tag in tree else replace(tag, sub="")].append(found.text)
    for tag in tree.tags():
        if tag not in signs:
            signs[tag].append(term_pattern(tag.sub or tag.main))
    return dict(signs)
