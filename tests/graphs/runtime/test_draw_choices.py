"""What a search learns from its history, and who is told."""

from __future__ import annotations

import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Failure, FailureKind, Step
from fairnad.records.history import History, Record
from fairnad.search.draw_choices import decide_draw, offers_modules
from graphs.cli.search_command import parse
from prompts.loader import load_pack

GATE = Idea("Gate the output.", tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "gates"))
FAILURE = Failure(Step.EXECUTE, FailureKind.SHAPE, "16 is not 24")
HISTORY = History([Record("g01-fair-r1-s00-d0", "g00-base-r1-s00-d0", GATE, "", failure=FAILURE)])
VISION = load_pack("vision")
PLACE = CandidateId.parse("g02-fair-r1-s00-d0")
MODEL = ["--llm.model", "scripted", "--llm.base-url", "http://127.0.0.1:9/v1"]
LESSON = "Gate the output: shape, 1 of 1: 16 is not 24"


@pytest.mark.parametrize(
    ("flags", "idea", "told"),
    [
        ([*MODEL, "--agents.players", "mutator=llm"], GATE, (LESSON,)),
        ([*MODEL, "--agents.players", "mutator=llm"], Idea("", IdeaKind.NONE), ()),
        ([*MODEL, "--agents.players", "mutator=llm", "--search.ablate", "lessons"], GATE, ()),
        ([*MODEL, "--agents.mode", "paper"], GATE, ()),
        ([], GATE, ()),
    ],
    ids=["a mutator", "no idea", "lessons off", "paper mode", "no language model"],
)
def test_lessons_go_to_language_models_that_mutate(flags, idea, told):
    assert decide_draw(parse(flags), VISION.has, None, HISTORY, PLACE, idea).lessons == told


@pytest.mark.parametrize(("stage", "offered"), [("fair", ("pack/Gate",)), ("refine", ())])
def test_modules_are_offered_where_a_mutator_carries_an_idea_out(stage, offered):
    asked = []

    def offer(idea, earlier):
        asked.append((idea, earlier))
        return ("pack/Gate",)

    place = CandidateId.parse(f"g02-{stage}-r1-s00-d0")
    assert decide_draw(parse(MODEL), VISION.has, offer, HISTORY, place, GATE).parts == offered
    assert asked == [(GATE, HISTORY)] * len(offered)


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (MODEL, True),
        ([*MODEL, "--agents.library", "0"], False),
        ([*MODEL, "--agents.mode", "paper"], False),
        ([*MODEL, "--agents.players", "mutator=builtin"], False),
        ([], False),
    ],
)
def test_a_library_is_kept_where_a_language_model_mutates(flags, found):
    assert offers_modules(parse(flags)) is found
