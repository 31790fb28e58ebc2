"""Which ideas may be drawn, for both schedules."""

from __future__ import annotations

import numpy as np
import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import Failure, FailureKind, Step
from fairnad.records.history import History, Record
from fairnad.search.idea_selection import IdeaSelection
from graphs.cli.search_command import parse
from graphs.search.planning import make_sampler
from prompts.loader import load_pack

GATES = Tag(Target.PERFORMANCE, Granularity.OPERATION, "gates")
FRESH, SPENT = Idea("Gate the output.", tag=GATES), Idea("Group the 5×5.", tag=GATES)
FAILURE = Failure(Step.EXECUTE, FailureKind.SHAPE, "16 is not 24")
TWICE = History(
    [Record(f"g01-fair-r1-s{slot:02d}-d0", "g00-base-r1-s00-d0", SPENT, "", failure=FAILURE) for slot in (0, 1)]
)


class Nothing:
    """A store without ideas."""

    def counts(self, fairness):
        return {}


@pytest.mark.parametrize(
    ("flags", "drawn"),
    [
        ([], {FRESH.text}),
        (["--search.ablate", "lessons"], {FRESH.text, SPENT.text}),
        (["--agents.mode", "paper"], {FRESH.text, SPENT.text}),
    ],
)
def test_a_spent_idea_is_drawn_only_where_a_search_does_not_remember(flags, drawn):
    context = parse(
        [
            "--llm.model",
            "scripted",
            "--llm.base-url",
            "http://127.0.0.1:9/v1",
            "--agents.players",
            "mutator=llm",
            *flags,
        ]
    )
    ideas = make_sampler(context, load_pack("vision"), IdeaSelection(Nothing(), own=[FRESH, SPENT]), TWICE)
    generator = np.random.default_rng(1)
    assert {ideas.sample(IdeaKind.KNOWLEDGE, generator).text for _ in range(40)} == drawn
