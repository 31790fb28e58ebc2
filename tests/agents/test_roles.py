"""The language-model roles against one contract: a value or a failure, asked once, shorter if need be."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from agents.debugger import LanguageModelDebugger
from agents.downscaler import LanguageModelDownscaler
from agents.idea_mutator import LanguageModelIdeaMutator
from agents.llm.client import LanguageModel
from agents.mutator import LanguageModelMutator
from agents.proposals import Question
from agents.structural_judge import LanguageModelStructuralJudge
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.ports import (
    CallContext,
    Debugger,
    DebugRequest,
    Downscaler,
    DownscaleRequest,
    IdeaMutationRequest,
    IdeaMutator,
    JudgeRequest,
    Model,
    MutationRequest,
    Mutator,
    Proposal,
    StructuralJudge,
    Verdict,
)
from fairnad.records.candidate import Failure, FailureKind, Step
from fairnad.records.draw_decisions import DrawDecisions
from prompts.loader import Pack
from store.history_store import SqliteHistory
from tests.openai_server import Reply, Script, ScriptedServer, prompt_of

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]

CONTEXT = CallContext("g01-fair-r1-s00-d0", version=0, seed=0)
IDEA = Idea("Gate the channels.", tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation"))
PARENT, CANDIDATE = Model("class Network: parent = 1\n"), Model("class Network: candidate = 1\n")
FAILURE = Failure(Step.EXECUTE, FailureKind.SHAPE, "16 is not 24", "the traceback", "gate Gate: 8 channels")
TOO_LONG = Reply.error(400, "maximum context length is 4096 tokens")
NETWORK = """\
import torch.nn as nn


class Network(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers1 = nn.Sequential(*[nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)])
        self.head = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.head(self.layers1(x).mean((2, 3)))
"""
SOURCE_REPLY = f"Plan: a gate.\n\n```python\n{NETWORK}```\n"

MUTATION = MutationRequest(CONTEXT, IDEA, MutationTarget.NEW_MODULE, PARENT)
DEBUG = DebugRequest(CONTEXT, "the request", CANDIDATE.source, FAILURE, PARENT)
DOWNSCALE = DownscaleRequest(CONTEXT, "the request", CANDIDATE, PARENT, False, "Lower the channel numbers.")
REFINEMENT = IdeaMutationRequest(CONTEXT, IDEA, CANDIDATE, PARENT, True)
JUDGE = JudgeRequest(CONTEXT, CANDIDATE, PARENT)

IN_IDEA_MUTATION = ("Categories that improve performance", "Categories that improve efficiency", "Model refinement,")

Outcome = Proposal | Verdict | Failure


@dataclass(frozen=True)
class Role:
    """One role with a request, a reply that serves it, and what its prompt loses when it is too long, in order."""

    name: str
    step: Step
    ask: Callable[[LanguageModel, Pack], Awaitable[Outcome]]
    reply: str
    lost: tuple[str, ...]


ROLES = [
    Role("mutation", Step.MUTATE, lambda m, p: LanguageModelMutator(m, p).mutate(MUTATION), SOURCE_REPLY, ()),
    Role(
        "debug",
        Step.DEBUG,
        lambda m, p: LanguageModelDebugger(m, p).debug(DEBUG),
        SOURCE_REPLY,
        (PARENT.source, "gate Gate: 8 channels", "the traceback"),
    ),
    Role(
        "downscale",
        Step.DOWNSCALE,
        lambda m, p: LanguageModelDownscaler(m, p).downscale(DOWNSCALE),
        SOURCE_REPLY,
        (PARENT.source, "the request"),
    ),
    Role(
        "idea_mutation_improved",
        Step.MUTATE,
        lambda m, p: LanguageModelIdeaMutator(m, p).mutate_idea(REFINEMENT),
        SOURCE_REPLY,
        (
            "Categories that improve performance",
            "Categories that improve efficiency",
            "Model refinement,",
            PARENT.source,
        ),
    ),
    Role(
        "idea_mutation_degraded",
        Step.MUTATE,
        lambda m, p: LanguageModelIdeaMutator(m, p).mutate_idea(replace(REFINEMENT, improved=False)),
        SOURCE_REPLY,
        (
            "Categories that improve performance",
            "Categories that improve efficiency",
            "Model refinement,",
            CANDIDATE.source,
        ),
    ),
    Role(
        "structural_judge",
        Step.JUDGE,
        lambda m, p: LanguageModelStructuralJudge(m, p).judge(JUDGE),
        "changed: yes - gated\nmulti-layer: yes\n##response## yes",
        (),
    ),
]
every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


@every_role
async def test_a_reply_becomes_a_value(serve: Serve, connect: Connect, vision: Pack, role: Role) -> None:
    outcome = await role.ask(connect(serve(lambda request: Reply(role.reply))), vision)
    if role.step is Step.JUDGE:
        assert outcome == Verdict(changed=True, multi_layer=True, reason="gated")
    else:
        assert isinstance(outcome, Proposal)
        assert outcome.source == NETWORK


@every_role
@pytest.mark.parametrize("text", ["I would rather not.", "```\n```", "##response## maybe"])
async def test_a_reply_of_no_use_is_a_failure_of_the_step(
    serve: Serve, connect: Connect, vision: Pack, role: Role, text: str
) -> None:
    outcome = await role.ask(connect(serve(lambda request: Reply(text))), vision)
    assert isinstance(outcome, Failure)
    assert (outcome.step, outcome.kind, outcome.log_tail) == (role.step, FailureKind.REPLY, text)
    expected = "verdict, or a contradictory one" if role.step is Step.JUDGE else "Python file"
    assert outcome.message == f"the reply contains no {expected}"


@every_role
async def test_a_resumed_role_asks_nothing_again(
    serve: Serve, connect: Connect, vision: Pack, log: SqliteHistory, role: Role
) -> None:
    first = serve(lambda request: Reply(role.reply))
    outcome = await role.ask(connect(first), vision)
    again = serve(lambda request: Reply("something else"))
    assert await role.ask(connect(again), vision) == outcome
    assert (first.num_requests, again.num_requests) == (1, 0)
    assert [call.role for call in log.calls(CONTEXT.candidate_id)] == [role.name]


@every_role
async def test_a_prompt_too_long_loses_what_is_least_needed_first(
    serve: Serve, connect: Connect, vision: Pack, role: Role
) -> None:
    server = serve(lambda request: TOO_LONG)
    outcome = await role.ask(connect(server), vision)
    assert isinstance(outcome, Failure)
    assert (outcome.step, outcome.kind) == (role.step, FailureKind.CONTEXT)
    prompts = [prompt_of(request) for request in server.requests]
    held = [[part.strip() in prompt for part in role.lost] for prompt in prompts]
    assert held == [[False] * n + [True] * (len(role.lost) - n) for n in range(len(role.lost) + 1)]


@pytest.mark.parametrize("role", [role for role in ROLES if role.lost], ids=lambda role: role.name)
async def test_the_shortened_prompt_is_answered(serve: Serve, connect: Connect, vision: Pack, role: Role) -> None:
    replies = iter([TOO_LONG, Reply(role.reply)])
    outcome = await role.ask(connect(serve(lambda request: next(replies))), vision)
    assert isinstance(outcome, Proposal)


async def test_the_mutator_passes_its_request_on(serve: Serve, connect: Connect, vision: Pack) -> None:
    server = serve(lambda request: Reply(SOURCE_REPLY))
    proposal = await LanguageModelMutator(connect(server), vision).mutate(MUTATION)
    assert isinstance(proposal, Proposal)
    assert proposal.prompt == vision.format_idea(IDEA, MutationTarget.NEW_MODULE)
    assert proposal.idea is None
    prompt = prompt_of(server.requests[0])
    assert proposal.prompt in prompt
    assert PARENT.source.strip() in prompt


async def test_the_debugger_shows_error_traceback_and_request(serve: Serve, connect: Connect, vision: Pack) -> None:
    server = serve(lambda request: Reply(SOURCE_REPLY))
    proposal = await LanguageModelDebugger(connect(server), vision).debug(DEBUG)
    assert isinstance(proposal, Proposal)
    assert proposal.prompt == "the request"
    prompt = prompt_of(server.requests[0])
    for part in (
        "shape: 16 is not 24",
        "the traceback",
        "gate Gate: 8 channels",
        "the request",
        CANDIDATE.source,
        PARENT.source,
    ):
        assert part.strip() in prompt


@pytest.mark.parametrize("single_use", [True, False])
async def test_the_downscaler_asks_for_one_use_or_for_shrinking(
    serve: Serve, connect: Connect, vision: Pack, single_use: bool
) -> None:
    server = serve(lambda request: Reply(SOURCE_REPLY))
    proposal = await LanguageModelDownscaler(connect(server), vision).downscale(
        replace(DOWNSCALE, single_use=single_use)
    )
    assert isinstance(proposal, Proposal)
    assert proposal.prompt == "the request"
    prompt = prompt_of(server.requests[0])
    assert (vision.single_use_idea in prompt, DOWNSCALE.shrinking in prompt) == (single_use, not single_use)


async def test_the_idea_mutator_shows_trees_and_refinement_ideas(serve: Serve, connect: Connect, vision: Pack) -> None:
    server = serve(lambda request: Reply(SOURCE_REPLY))
    await LanguageModelIdeaMutator(connect(server), vision).mutate_idea(REFINEMENT)
    prompt = prompt_of(server.requests[0])
    for category in vision.attribute_tree.categories:
        assert category.main in prompt
    for idea in (*vision.upscaling_ideas, *vision.adjustment_ideas, IDEA.text):
        assert idea in prompt


async def test_the_idea_mutator_returns_the_idea_it_made(serve: Serve, connect: Connect, vision: Pack) -> None:
    tag = next(tag for tag in vision.attribute_tree.tags() if tag.sub)
    head = f"Analysis: it helped.\nCategory: {tag}\nIdea: Gate the positions too.\n\n"
    server = serve(lambda request: Reply(head + SOURCE_REPLY))
    proposal = await LanguageModelIdeaMutator(connect(server), vision).mutate_idea(REFINEMENT)
    assert isinstance(proposal, Proposal)
    assert proposal.idea == Idea("Gate the positions too.", IdeaKind.MUTATED, tag)
    assert proposal.prompt == "Gate the positions too."


async def test_an_idea_without_words_is_said_to_have_none(serve: Serve, connect: Connect, vision: Pack) -> None:
    server = serve(lambda request: Reply(SOURCE_REPLY))
    proposal = await LanguageModelIdeaMutator(connect(server), vision).mutate_idea(REFINEMENT)
    assert isinstance(proposal, Proposal)
    assert proposal.idea == Idea("a change the reply did not put into words", IdeaKind.MUTATED)


def test_the_roles_fulfil_their_protocols(connect: Connect, vision: Pack) -> None:
    model = connect("http://127.0.0.1:9/v1")
    mutator: Mutator = LanguageModelMutator(model, vision)
    debugger: Debugger = LanguageModelDebugger(model, vision)
    downscaler: Downscaler = LanguageModelDownscaler(model, vision)
    idea_mutator: IdeaMutator = LanguageModelIdeaMutator(model, vision)
    judge: StructuralJudge = LanguageModelStructuralJudge(model, vision)
    assert all((mutator, debugger, downscaler, idea_mutator, judge))


def test_what_says_nothing_is_not_left_out_of_a_shorter_prompt(vision: Pack) -> None:
    variables = {"idea": "Add a gate.", "parent": "PARENT", "lessons": (), "parts": ()}
    question = Question(vision, "mutation", variables, ("lessons", "parent", "parts"))
    shorter = question.shorten(1)
    assert shorter is not None
    assert "PARENT" not in str(shorter)
    assert question.shorten(2) is None


async def test_lessons_of_earlier_draws_are_the_first_to_go(connect: Connect, serve: Serve, vision: Pack) -> None:
    replies = iter([TOO_LONG, Reply(SOURCE_REPLY)] * 2)
    server = serve(lambda _: next(replies))
    taught = replace(CONTEXT, choices=DrawDecisions(lessons=("A gate: +1.2 points",)))
    model = connect(server)
    await LanguageModelMutator(model, vision).mutate(replace(MUTATION, context=taught))
    await LanguageModelIdeaMutator(model, vision).mutate_idea(replace(REFINEMENT, context=taught))
    assert ["A gate: +1.2 points" in prompt_of(request) for request in server.requests] == [True, False, True, False]
    assert IN_IDEA_MUTATION[0] in prompt_of(server.requests[3])
