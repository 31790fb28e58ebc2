"""Records to build histories of, and examples that are the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import hypothesis
import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea
from fairnad.records.candidate import Evaluation, Failure, FailureKind, Step
from fairnad.records.history import Record

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

COSTS = {"params": 1000.0, "flops": 5000.0}
IDEA = Idea("Add a skip connection.", tag=Tag(Target.PERFORMANCE, Granularity.BLOCK, "residual connections"))


@pytest.fixture(scope="session")
def trained() -> Callable[..., Record]:
    """Builds the record of a candidate that was trained."""

    def build(
        candidate_id: str = "g01-fair-r1-s00-d0",
        accuracy: float = 0.5,
        *,
        costs: Mapping[str, float] = COSTS,
        recipe_digest: str = "0123456789ab",
        fingerprint: str = "",
        **fields: Any,
    ) -> Record:
        evaluation = Evaluation(accuracy, recipe_digest, costs, fingerprint or f"architecture of {candidate_id}")
        return Record(candidate_id, **{"parent_id": "", "idea": IDEA, "source": "", **fields}, evaluation=evaluation)

    return build


@pytest.fixture(scope="session")
def failed() -> Callable[..., Record]:
    """Builds the record of a candidate that was discarded."""

    def build(
        candidate_id: str = "g01-fair-r1-s00-d0",
        step: Step = Step.EXECUTE,
        kind: FailureKind = FailureKind.SHAPE,
        **fields: Any,
    ) -> Record:
        failure = Failure(step, kind, "what went wrong")
        return Record(candidate_id, **{"parent_id": "", "idea": IDEA, "source": "", **fields}, failure=failure)

    return build
