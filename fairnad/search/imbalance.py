"""The spread of ideas over the attribute tree (paper §4.1, Figure 2), and the results of each category in a search."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from fairnad.records.history import History, accuracy
from fairnad.search.sampling import Fairness, Key, fairness_key


@dataclass(frozen=True, slots=True)
class Imbalance:
    """The spread of ideas over categories.

    ``entropy`` is Shannon's, divided by its maximum: 1 if all categories hold equally many, 0 if one holds all.
    ``largest_share`` is the share of the largest category. Empty categories count.
    """

    num_categories: int
    num_ideas: int
    entropy: float
    largest: Key
    largest_share: float


def counts(ideas: Iterable[Idea], tree: AttributeTree, fairness: Fairness) -> dict[Key, int]:
    """Number of ideas by category at a level, in the order of the tree, including empty ones."""
    found = dict.fromkeys((fairness_key(tag, fairness) for tag in tree.tags()), 0)
    for idea in ideas:
        if idea.tag is not None:
            key = fairness_key(idea.tag, fairness)
            found[key] = found.get(key, 0) + 1
    return found


def imbalance(of: Mapping[Key, int]) -> Imbalance:
    """The spread of counted ideas."""
    total = sum(of.values())
    shares = [number / total for number in of.values() if number] if total else []
    entropy = -sum(share * math.log(share) for share in shares)
    greatest = math.log(len(of)) if len(of) > 1 else 0.0
    largest = max(of, key=lambda key: of[key], default=())
    return Imbalance(
        num_categories=len(of),
        num_ideas=total,
        entropy=abs(entropy / greatest) if greatest else 0.0,  # without abs, one category alone would give -0.0
        largest=largest,
        largest_share=max(shares, default=0.0),
    )


@dataclass(frozen=True, slots=True)
class Yield:
    """The results of one category of ideas in a search.

    ``tried`` counts candidates, ``valid`` those that trained, ``helpful`` those that beat their parent. ``mean_gain``
    is the mean gain of the valid ones over their parents, or ``None``.
    """

    tried: int
    valid: int
    helpful: int
    mean_gain: float | None


def yields(history: History, fairness: Fairness) -> dict[Key, Yield]:
    """The results of each tried category, most helpful first. Candidates without a tag are left out."""
    tried: Counter[Key] = Counter()
    gains: dict[Key, list[float]] = {}
    for record in history.records:
        tag = record.idea.tag
        if tag is None:
            continue
        key = fairness_key(tag, fairness)
        tried[key] += 1
        gain = _gain(history, record.candidate_id, record.parent_id)
        if gain is not None:
            gains.setdefault(key, []).append(gain)
    found = {key: _yield(number, gains.get(key, ())) for key, number in tried.items()}
    return dict(sorted(found.items(), key=lambda item: (-item[1].helpful, -item[1].valid, item[0])))


def _gain(history: History, candidate_id: str, parent_id: str) -> float | None:
    record = history[candidate_id]
    parent = history[parent_id] if parent_id else history.base
    if not record.trained or parent is None or not parent.trained:
        return None
    return history.objective.gain(accuracy(record), accuracy(parent))


def _yield(tried: int, gains: Sequence[float]) -> Yield:
    mean = sum(gains) / len(gains) if gains else None
    return Yield(tried, len(gains), sum(1 for gain in gains if gain > 0), mean)


def path_text(key: Key) -> str:
    """A category's path as text."""
    return " / ".join(part for part in key if part) or "all"
