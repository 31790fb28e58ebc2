from __future__ import annotations

import numpy as np

from fairnad.ports import CallContext
from fairnad.records.candidate import CandidateId
from fairnad.search import sampling


def first_number(generator: np.random.Generator) -> int:
    return int(generator.integers(2**63))


def test_a_context_draws_the_same_numbers_whenever_it_is_run() -> None:
    context = CallContext("g01-fair-r1-s00-d0", 1, 7)
    numbers = first_number(context.generator)
    assert first_number(CallContext("g01-fair-r1-s00-d0", 1, 7).generator) == numbers
    assert first_number(context.generator) == numbers


def test_contexts_that_differ_in_anything_draw_different_numbers() -> None:
    places = [
        f"g{generation:02d}-{stage}-r{round_}-s{slot:02d}-d{draw}"
        for generation in (1, 2)
        for stage in ("fair", "refine")
        for round_ in (1, 2)
        for slot in (0, 1)
        for draw in (0, 1)
    ]
    contexts = [CallContext(place, version, seed) for place in places for version in (0, 1) for seed in (0, 1)]
    assert len({first_number(context.generator) for context in contexts}) == len(contexts)


def test_a_context_does_not_repeat_the_numbers_its_candidate_was_drawn_with() -> None:
    place = CandidateId.parse("g01-fair-r1-s00-d0")
    drawn = first_number(sampling.generator(7, place))
    assert drawn not in {first_number(CallContext(str(place), version, 7).generator) for version in range(8)}
