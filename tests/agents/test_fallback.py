"""Mixes of two players: who is asked, whose answer counts, and who is named."""

from dataclasses import replace

import pytest

from agents.fallback import (
    Fallback,
    FallbackDebugger,
    FallbackDownscaler,
    JointJudge,
    Player,
)
from fairnad.domain.budget import Budget
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.ports import (
    CallContext,
    DebugRequest,
    DownscaleRequest,
    IdeaMutationRequest,
    JudgeRequest,
    Model,
    MutationRequest,
    Proposal,
    Verdict,
)
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step

CONTEXT = CallContext("g01-fair-r1-s00-d0", version=1, seed=0)
IDEA = Idea("Gate the channels.", tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation"))
PARENT, LARGE = Model("parent"), Model("large")
BROKEN = Failure(Step.EXECUTE, FailureKind.SHAPE, "16 is not 24")
OTHER_FAULT = Failure(Step.EXECUTE, FailureKind.IMPORT, "no module")
NO = Failure(Step.MUTATE, FailureKind.NOT_APPLICABLE, "no place for it")
COSTS = {"good": 5.0, "large": 20.0, "smaller": 15.0}
BUDGETS = (Budget("params", "elements", 10),)

DEBUG = DebugRequest(CONTEXT, "the request", "broken", BROKEN, PARENT)
DOWNSCALE = DownscaleRequest(CONTEXT, "the request", LARGE, PARENT, False, "Shrink it.")
MUTATION = MutationRequest(CONTEXT, IDEA, MutationTarget.NETWORK, PARENT)
REFINEMENT = IdeaMutationRequest(CONTEXT, IDEA, LARGE, PARENT, True)
JUDGE = JudgeRequest(CONTEXT, LARGE, PARENT)
PASSES, REFUSES = Verdict(True, True, "new"), Verdict(False, True, "the same")


async def check(source):
    """Sources run that have costs; one that is half mended shows another fault."""
    if source in COSTS:
        return CheckReport({"params": COSTS[source]}, source, 2)
    return OTHER_FAULT if source == "half mended" else BROKEN


class Scripted:
    """A player of any role that always says the same."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def mutate(self, request):
        self.asked.append(request)
        return self.answer

    mutate_idea = debug = downscale = judge = mutate


def proposal(source, note=""):
    return Proposal(source, "the request", note=note)


def named(*answers):
    players = [Scripted(answer) for answer in answers]
    return players, [Player(name, player) for name, player in zip(("first", "second"), players, strict=True)]


@pytest.mark.parametrize(("method", "request_"), [("mutate", MUTATION), ("mutate_idea", REFINEMENT)])
@pytest.mark.parametrize(
    ("answers", "source", "note", "num_asked"),
    [
        ((proposal("good", "a gate"), proposal("other")), "good", "first: a gate", 0),
        ((NO, proposal("other")), "other", "second", 1),
    ],
)
async def test_the_second_carries_out_what_the_first_cannot(method, request_, answers, source, note, num_asked):
    players, pair = named(*answers)
    answer = await getattr(Fallback(*pair, method), method)(request_)
    assert (answer.source, answer.note) == (source, note)
    assert players[1].asked == [request_] * num_asked


async def test_where_both_fail_the_second_failure_is_told():
    _, pair = named(NO, replace(NO, message="nor here"))
    assert await Fallback(*pair, "mutate").mutate(MUTATION) == replace(NO, message="nor here")


async def test_a_repair_that_runs_spares_the_second_player():
    players, pair = named(proposal("good", "import added"), proposal("other"))
    answer = await FallbackDebugger(*pair, check).debug(DEBUG)
    assert (answer.source, answer.note) == ("good", "first: import added")
    assert not players[1].asked


@pytest.mark.parametrize("tried", [NO, proposal("still broken")])
async def test_a_repair_that_does_not_help_leaves_the_fault_to_the_second(tried):
    players, pair = named(tried, proposal("good"))
    assert (await FallbackDebugger(*pair, check).debug(DEBUG)).source == "good"
    assert players[1].asked == [DEBUG]


async def test_the_second_goes_on_from_a_repair_that_brings_another_fault_to_light():
    players, pair = named(proposal("half mended"), proposal("good"))
    await FallbackDebugger(*pair, check).debug(DEBUG)
    assert players[1].asked == [replace(DEBUG, failed="half mended", failure=OTHER_FAULT)]


@pytest.mark.parametrize(
    ("answers", "num_earlier", "source", "asked"),
    [
        ((proposal("good"), proposal("other")), 0, "good", (1, 0)),
        ((proposal("smaller"), proposal("other")), 0, "other", (1, 1)),
        ((proposal("broken"), proposal("other")), 0, "other", (1, 1)),
        ((proposal("smaller"), NO), 0, "smaller", (1, 1)),
        ((NO, proposal("other")), 0, "other", (1, 1)),
        ((proposal("good"), proposal("other")), 1, "other", (0, 1)),
    ],
)
async def test_the_first_has_one_try_to_come_within_all_limits(answers, num_earlier, source, asked):
    players, pair = named(*answers)
    request = replace(DOWNSCALE, num_earlier=num_earlier)
    assert (await FallbackDownscaler(*pair, check, BUDGETS).downscale(request)).source == source
    assert tuple(len(player.asked) for player in players) == asked


async def test_what_was_discarded_is_told_with_its_costs_or_its_fault():
    unusable = Failure(Step.MUTATE, FailureKind.REPLY, "the reply contains no code")
    for tried, told in (
        (proposal("smaller"), "first: over a limit: 15 params (limit 10)"),
        (proposal("broken"), "first: execute: shape: 16 is not 24"),
        (unusable, "first: mutate: reply: the reply contains no code"),
        (NO, ""),
    ):
        _, pair = named(tried, proposal("good"))
        assert (await FallbackDownscaler(*pair, check, BUDGETS).downscale(DOWNSCALE)).discarded == told
    _, pair = named(unusable, proposal("good"))
    for method, request in (("mutate", MUTATION), ("mutate_idea", REFINEMENT)):
        answer = await getattr(Fallback(*pair, method), method)(request)
        assert answer.discarded == "first: mutate: reply: the reply contains no code"
    _, pair = named(proposal("half mended"), proposal("good"))
    assert (await FallbackDebugger(*pair, check).debug(DEBUG)).discarded == "first: execute: import: no module"


async def test_a_judge_without_a_verdict_is_followed_by_the_other():
    players, pair = named(NO, PASSES)
    assert await Fallback(*pair, "judge").judge(JUDGE) == PASSES
    assert len(players[1].asked) == 1


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((PASSES, PASSES), Verdict(True, True, "first accepts it: new; second accepts it: new")),
        ((PASSES, REFUSES), Verdict(False, True, "first accepts it: new; second refuses it: the same")),
        ((REFUSES, PASSES), Verdict(False, True, "first: the same")),
        ((NO, PASSES), Verdict(True, True, "first gave no verdict (no place for it); second accepts it: new")),
        ((PASSES, NO), Verdict(True, True, "first accepts it: new; second gave no verdict (no place for it)")),
        ((NO, NO), NO),
    ],
)
async def test_a_network_passes_where_both_judges_let_it_pass(answers, expected):
    _, pair = named(*answers)
    assert await JointJudge(*pair).judge(JUDGE) == expected
