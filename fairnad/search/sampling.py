"""Choice of parents and ideas: top-k, Pareto and fair idea sampling (paper §4.3, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

import numpy as np

from fairnad.domain.budget import Budget
from fairnad.ideas.attribute_tree import Tag
from fairnad.records.candidate import CandidateId
from fairnad.records.history import History, Record, accuracy
from fairnad.search import pareto

Item = TypeVar("Item")
Key = tuple[str, ...]


class Fairness(StrEnum):
    """The level of the attribute tree over which ideas are drawn uniformly (paper Table 6)."""

    NONE = "none"
    """every idea is equally likely"""
    GRANULARITY = "granularity"
    """every (target, granularity) is equally likely"""
    MAIN = "main"
    """every main category is equally likely: the paper's choice"""
    SUB = "sub"
    """every sub-category is equally likely"""


DEPTHS = {Fairness.NONE: 0, Fairness.GRANULARITY: 2, Fairness.MAIN: 3, Fairness.SUB: 4}
"""The length of a path's prefix at each level."""


def fairness_key(tag: Tag, fairness: Fairness) -> Key:
    """The prefix of a tag's path over which sampling is fair: a path, never a bare name."""
    path = (str(tag.target), str(tag.granularity), tag.main, tag.sub)
    return path[: DEPTHS[fairness]]


def draw_key(keys: Iterable[Key], generator: np.random.Generator) -> Key:
    """One of the distinct ``keys``, uniformly, whatever their number of ideas.

    Raises:
        ValueError: ``keys`` is empty.
    """
    distinct = sorted(set(keys))
    if not distinct:
        raise ValueError("there is no idea to draw from")
    return distinct[int(generator.integers(len(distinct)))]


def draw(items: Sequence[Item], generator: np.random.Generator) -> Item:
    """One of ``items``, uniformly.

    Raises:
        ValueError: ``items`` is empty.
    """
    if not items:
        raise ValueError("there is nothing to draw from")
    return items[int(generator.integers(len(items)))]


def generator(seed: int, place: CandidateId, purpose: str = "") -> np.random.Generator:
    """The random generator of one draw. It depends only on the run's seed, the place and the purpose."""
    words = [seed, place.generation, place.stage.order, place.round, place.slot, place.draw]
    return np.random.default_rng([*words, *purpose.encode()])


def cycle(records: Sequence[Record], num_selected: int) -> list[Record]:
    """``num_selected`` records, cycling through fewer; empty without records."""
    return [records[i % len(records)] for i in range(num_selected)] if records else []


def top_k(history: History, num_selected: int) -> list[Record]:
    """Parents of stages I and III: the best of the ranking (Algorithm 2, lines 14 and 31)."""
    return cycle(history.ranking[:num_selected], num_selected)


def pareto_parents(history: History, budgets: Sequence[Budget], num_selected: int) -> list[Record]:
    """Parents of stage II: NSGA-II on the objective against all budgets (Algorithm 2, line 21)."""
    pool, key = history.pool, history.objective.sort_key
    rows = []
    for record in pool:
        assert record.evaluation is not None
        rows.append(
            [
                key(accuracy(record)),
                *(record.evaluation.costs[budget.name] for budget in budgets),
            ]
        )
    objectives = np.array(rows, dtype=np.float64).reshape(len(pool), 1 + len(budgets))
    return cycle([pool[i] for i in pareto.select(objectives, num_selected)], num_selected)
