"""The number of candidates that each stage trains, if every slot yields a trained candidate (Algorithm 2)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fairnad.records.candidate import Stage
from fairnad.settings.search_settings import SearchSettings


class Leg(NamedTuple):
    """One stage of one generation."""

    generation: int
    stage: Stage
    num_trained: int


def legs(search: SearchSettings, archs: int) -> list[Leg]:
    """The stages of a search in order; the last one may be cut short. Generation 0 mutates the base."""
    planned = []
    num_left = archs
    for generation, stage, num_slots in _stages(search):
        if not num_left:
            break
        num_trained = min(num_slots, num_left)
        num_left -= num_trained
        if num_trained:
            planned.append(Leg(generation, stage, num_trained))
    return planned


def remaining(search: SearchSettings, archs: int, num_already: int) -> list[Leg]:
    """The stages that are left after ``num_already`` trained candidates, including a partly finished one."""
    done = {(leg.generation, leg.stage): leg.num_trained for leg in legs(search, num_already)}
    left = [
        leg._replace(num_trained=leg.num_trained - done.get((leg.generation, leg.stage), 0))
        for leg in legs(search, archs)
    ]
    return [leg for leg in left if leg.num_trained > 0]


def stage_starts(search: SearchSettings) -> dict[Stage, int]:
    """The number of trained candidates when each stage first begins; stages without candidates are left out."""
    starts: dict[Stage, int] = {}
    num_trained = 0
    for leg in itertools.islice(_stages(search), 4):
        if leg.num_trained:
            starts[leg.stage] = num_trained
        num_trained += leg.num_trained
    return starts


def by_stage(planned: Sequence[Leg]) -> Counter[Stage]:
    """The number of candidates that each stage trains in all."""
    counts: Counter[Stage] = Counter()
    for leg in planned:
        counts[leg.stage] += leg.num_trained
    return counts


def _stages(search: SearchSettings) -> Iterator[Leg]:
    yield Leg(0, Stage.INITIAL, search.initial)
    generation = 0
    while True:
        generation += 1
        yield Leg(generation, Stage.FAIR, search.fair)
        yield Leg(generation, Stage.PARETO, search.pareto)
        yield Leg(generation, Stage.REFINE, search.refine * search.refine_rounds)
