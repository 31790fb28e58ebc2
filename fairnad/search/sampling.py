"""Whom to mutate and by which idea: top-k, Pareto and fair idea sampling (paper §4.3, Algorithm 2)."""

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
    """At which level of the attribute tree ideas are drawn uniformly (paper Table 6)."""

    NONE = "none"
    """every idea is equally likely"""
    GRANULARITY = "granularity"
    """every (target, granularity) is equally likely"""
    MAIN = "main"
    """every main category is equally likely: the paper's choice"""
    SUB = "sub"
    """every sub-category is equally likely"""


DEPTHS = {Fairness.NONE: 0, Fairness.GRANULARITY: 2, Fairness.MAIN: 3, Fairness.SUB: 4}
"""How much of a path each level looks at."""


def fairness_key(tag: Tag, fairness: Fairness) -> Key:
    """The part of a tag's path that sampling is fair over; a whole path, never a bare name."""
    path = (str(tag.target), str(tag.granularity), tag.main, tag.sub)
    return path[: DEPTHS[fairness]]


def draw_key(keys: Iterable[Key], generator: np.random.Generator) -> Key:
    """One of the distinct ``keys``, each equally likely whatever the number of ideas behind it.

    Raises:
        ValueError: there are no keys.
    """
    distinct = sorted(set(keys))
    if not distinct:
        raise ValueError("there is no idea to draw from")
    return distinct[int(generator.integers(len(distinct)))]


def draw(items: Sequence[Item], generator: np.random.Generator) -> Item:
    """One of ``items``, uniformly.

    Raises:
        ValueError: there are no items.
    """
    if not items:
        raise ValueError("there is nothing to draw from")
    return items[int(generator.integers(len(items)))]


def generator(seed: int, place: CandidateId, purpose: str = "") -> np.random.Generator:
    """The random numbers of one draw: a function of the run's seed and the place alone."""
    words = [seed, place.generation, place.stage.order, place.round, place.slot, place.draw]
    return np.random.default_rng([*words, *purpose.encode()])


def cycle(records: Sequence[Record], num_selected: int) -> list[Record]:
    """``num_selected`` records; fewer than asked for are repeated in turn, none gives none."""
    return [records[i % len(records)] for i in range(num_selected)] if records else []


def top_k(history: History, num_selected: int) -> list[Record]:
    """Parents of stages I and III: the best by validation accuracy (Algorithm 2, lines 14 and 31)."""
    return cycle(history.ranking[:num_selected], num_selected)


def pareto_parents(history: History, budgets: Sequence[Budget], num_selected: int) -> list[Record]:
    """Parents of stage II: NSGA-II on validation accuracy against all budgets (Algorithm 2, line 21)."""
    pool = history.pool
    rows = []
    for record in pool:
        assert record.evaluation is not None
        rows.append([-accuracy(record), *(record.evaluation.costs[budget.name] for budget in budgets)])
    objectives = np.array(rows, dtype=np.float64).reshape(len(pool), 1 + len(budgets))
    return cycle([pool[i] for i in pareto.select(objectives, num_selected)], num_selected)
