"""The three ways to write a mutation, with a scripted model and, for modules, a real lab."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from agents.debugger import LanguageModelDebugger
from agents.downscaler import LanguageModelDownscaler
from agents.idea_mutator import LanguageModelIdeaMutator
from agents.llm.client import LanguageModel
from agents.mutator import LanguageModelMutator
from fairnad.domain.contract import Contract
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.ports import (
    CallContext,
    DebugRequest,
    DownscaleRequest,
    IdeaMutationRequest,
    Model,
    MutationRequest,
    Proposal,
)
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.settings.search_settings import LabSettings
from prompts.loader import Pack, load_pack
from tests.openai_server import Reply, Script, ScriptedServer, prompt_of
from tools.checks import Checker, lone_checker

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]

BASE = load_pack("vision").base_source("small_resnet")
CONTEXT = CallContext("g01-fair-r1-s00-d0", version=0, seed=0)
IDEA = Idea("Gate the channels.", tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation"))
OLD, NEW = "self.act = nn.ReLU()\n        self.se =", "self.act = nn.GELU()\n        self.se ="
EDITED = BASE.replace(OLD, NEW)
EDIT = (
    "<<<<<<< OLD\n        self.norm2 = nn.BatchNorm2d(out_channels)\n        self.act = nn.ReLU()\n=======\n"
    "        self.norm2 = nn.BatchNorm2d(out_channels)\n        self.act = nn.GELU()\n>>>>>>> NEW\n"
)
LOST = "<<<<<<< OLD\nself.gone = nn.ReLU(planes)\n=======\nself.gone = nn.GELU()\n>>>>>>> NEW\n"
GATE = (
    "```python\nimport torch.nn as nn\n\nclass Gate(nn.Module):\n    def __init__(self, channels):\n"
    "        super().__init__()\n        self.conv = nn.Conv2d(channels, channels, 1)\n\n"
    "    def forward(self, x):\n        return x * torch.sigmoid(self.conv(x))\n```\n"
)


def context(form: str) -> CallContext:
    return replace(CONTEXT, choices=DrawDecisions(form=form))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Checker]:
    """Checks networks for images of 8 pixels and ten classes."""
    settings = LabSettings(slots=1, device="cpu", memory=1e9, isolation="E")
    async with lone_checker(settings, Contract.for_images(8, 10)) as checker:
        yield checker


with_lab = pytest.mark.asyncio(loop_scope="module")


async def parent(lab: Checker) -> Model:
    report = await lab.check(BASE)
    assert isinstance(report, CheckReport)
    return Model(BASE, report)


@with_lab
async def test_a_module_is_checked_alone_and_placed_where_the_reply_says(
    serve: Serve, connect: Connect, vision: Pack, lab: Checker
) -> None:
    server = serve(lambda request: Reply(f"Place: 3\n\n{GATE}"))
    mutator = LanguageModelMutator(connect(server), vision, check=lab.check)
    request = MutationRequest(context("module"), IDEA, MutationTarget.NEW_MODULE, await parent(lab))
    proposal = await mutator.mutate(request)
    assert isinstance(proposal, Proposal)
    assert proposal.note == "Gate behind the stem `self.stem`"
    assert proposal.prompt == vision.format_idea(IDEA, MutationTarget.NEW_MODULE)
    assert "        x = self.stem(x)\n        x = self.gate(x)\n" in proposal.source
    report = await lab.check(proposal.source)
    assert isinstance(report, CheckReport)
    assert [shape[1:] for kind, _, shape in report.blocks if kind == "Gate"] == [(4, 8, 8)]
    prompt = prompt_of(server.requests[0])
    assert "3. behind the stem `self.stem`: 4 × 8 × 8" in prompt
    assert "class BaseBlock" not in prompt and "class Network" not in prompt and len(prompt) < 5000


@with_lab
@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("channels, channels, 1", "channels, 2 * channels, 1", FailureKind.SHAPE, "must match"),
        ("x * torch.sigmoid(self.conv(x))", "self.conv(x).mean((2, 3))", FailureKind.SHAPE, "it must keep the shape"),
        ("channels, channels, 1", "channels // 16, channels, 1", FailureKind.SHAPE, "to have 0 channels"),
    ],
)
async def test_a_module_that_does_not_run_alone_is_a_failure_with_its_traceback(
    serve: Serve, connect: Connect, vision: Pack, lab: Checker, old: str, new: str, kind: FailureKind, message: str
) -> None:
    server = serve(lambda request: Reply(f"Place: 1\n\n{GATE.replace(old, new)}"))
    mutator = LanguageModelMutator(connect(server), vision, "module", lab.check)
    failure = await mutator.mutate(MutationRequest(CONTEXT, IDEA, MutationTarget.NEW_MODULE, await parent(lab)))
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.MUTATE, kind)
    assert failure.message.startswith("the module Gate alone: ")
    assert message in failure.message
    assert "in forward\n" in failure.log_tail


@with_lab
@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("x * torch.sigmoid(self.conv(x))", "torch.cat([x, self.conv(x)], 1)", "projected to the input's channels"),
        ("x * torch.sigmoid(self.conv(x))", "self.conv(x)[:, ::2]", "projected to the input's channels"),
        ("x * torch.sigmoid(self.conv(x))", "self.conv(x)[:, :, 1:, ::2]", "resized to the input's map"),
        (
            "x * torch.sigmoid(self.conv(x))",
            "torch.cat([x, x, self.conv(x)], 1)[:, :, ::2]",
            "projected to the input's channels and resized to the input's map",
        ),
        ("torch.sigmoid(self.conv(x))", "self.conv(x) / channels", "stored channels in the constructor of Gate"),
        ("self.conv = nn.Conv2d", "self.conv = nn.Conv2D", "corrected Conv2D to nn.Conv2d"),
        (
            "nn.Conv2d(channels, channels, 1)",
            "nn.Linear(channels, channels)",
            "replaced linear layers of Gate with pointwise convolutions",
        ),
        ("nn.Conv2d(channels, channels, 1)", "nn.LayerNorm(channels)", "used normalization for feature maps"),
    ],
)
async def test_a_module_that_only_just_misses_its_contract_is_fitted_without_a_call(
    serve: Serve, connect: Connect, vision: Pack, lab: Checker, old: str, new: str, note: str
) -> None:
    server = serve(lambda request: Reply(f"Place: 4\n\n{GATE.replace(old, new)}"))
    mutator = LanguageModelMutator(connect(server), vision, check=lab.check)
    request = MutationRequest(context("module"), IDEA, MutationTarget.NEW_MODULE, await parent(lab))
    proposal = await mutator.mutate(request)
    assert isinstance(proposal, Proposal)
    assert proposal.note.endswith(f"; {note}")
    report = await lab.check(proposal.source)
    assert isinstance(report, CheckReport), report
    assert server.num_requests == 1


@with_lab
async def test_what_is_mended_is_mended_one_after_the_other(
    serve: Serve, connect: Connect, vision: Pack, lab: Checker
) -> None:
    spoiled = GATE.replace("nn.Conv2d(", "nn.Conv2D(").replace("x * torch", "torch.cat([x, x], 1) / channels + torch")
    spoiled = spoiled.replace("self.conv(x))", "self.conv(x).repeat(1, 2, 1, 1))")
    server = serve(lambda request: Reply(f"Place: 4\n\n{spoiled}"))
    mutator = LanguageModelMutator(connect(server), vision, check=lab.check)
    request = MutationRequest(context("module"), IDEA, MutationTarget.NEW_MODULE, await parent(lab))
    proposal = await mutator.mutate(request)
    assert isinstance(proposal, Proposal)
    assert proposal.note.count(";") == 3, proposal.note
    assert "class FittedGate" in proposal.source and "class Gate" in proposal.source


@with_lab
async def test_a_module_may_use_modules_at_hand_by_name(
    serve: Serve, connect: Connect, vision: Pack, lab: Checker
) -> None:
    modules = vision.library.offered
    composed = GATE.replace("nn.Conv2d(channels, channels, 1)", "AddContext(channels)")
    server = serve(lambda request: Reply(f"Place: 3\n\n{composed}"))
    mutator = LanguageModelMutator(connect(server), vision, check=lab.check)
    request = MutationRequest(context("module"), IDEA, MutationTarget.NEW_MODULE, await parent(lab), modules)
    first = await mutator.mutate(request)
    assert isinstance(first, Proposal)
    assert first.note == "Gate behind the stem `self.stem`; uses AddContext"
    report = await lab.check(first.source)
    assert isinstance(report, CheckReport), report
    assert "- `AddContext`: Global context" in prompt_of(server.requests[0])
    assert "- `" not in prompt_of(server.requests[0]).split("Where one serves the idea")[1]
    again = await mutator.mutate(replace(request, parent=Model(first.source, report)))
    assert isinstance(again, Proposal), "a part the parent has already is used from there"
    assert again.source.count("class AddContext") == 1
    assert isinstance(await lab.check(again.source), CheckReport)


async def runs(source: str) -> CheckReport | Failure:
    """A check that finds nothing wrong."""
    return CheckReport({}, "", 1)


def mutation(form: str, idea: Idea = IDEA, source: str = BASE) -> MutationRequest:
    return MutationRequest(context(form), idea, MutationTarget.NEW_MODULE, Model(source))


async def test_a_reply_that_names_no_place_has_it_drawn(serve: Serve, connect: Connect, vision: Pack) -> None:
    server = serve(lambda request: Reply(GATE))
    mutator = LanguageModelMutator(connect(server), vision, check=runs)
    one, other = await mutator.mutate(mutation("module")), await mutator.mutate(mutation("module"))
    assert isinstance(one, Proposal) and one == other
    assert one.note.startswith("Gate ")


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("Place: 2", "in every `BaseBlock`, in the place of the convolution `self.conv2`"),
        ("**Place:** 3. behind the stem", "behind the stem `self.stem`"),
        ("place: behind the stem `self.stem`", "behind the stem `self.stem`"),
        ("Place: behind `self.layers3`, the last stage, before the classifier", "behind `self.layers3`, the last st"),
    ],
)
async def test_a_place_is_named_by_number_or_in_words(
    serve: Serve, connect: Connect, vision: Pack, line: str, note: str
) -> None:
    server = serve(lambda request: Reply(f"{line}\n{GATE}"))
    proposal = await LanguageModelMutator(connect(server), vision, check=runs).mutate(mutation("module"))
    assert isinstance(proposal, Proposal)
    assert proposal.note.startswith(f"Gate {note}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I would rather not.", "the reply contains no Python class"),
        (GATE.replace("self, channels", "self, channels, blocks"), "Gate requires blocks; a module is built"),
    ],
)
async def test_a_reply_without_a_module_is_a_failure(
    serve: Serve, connect: Connect, vision: Pack, text: str, message: str
) -> None:
    server = serve(lambda request: Reply(text))
    failure = await LanguageModelMutator(connect(server), vision, check=runs).mutate(mutation("module"))
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.MUTATE, FailureKind.REPLY)
    assert failure.message.startswith(message)


@pytest.mark.parametrize("form", ["full", "edit", "module"])
async def test_a_whole_file_is_taken_in_every_form(serve: Serve, connect: Connect, vision: Pack, form: str) -> None:
    server = serve(lambda request: Reply(f"```python\n{EDITED}```"))
    proposal = await LanguageModelMutator(connect(server), vision, check=runs).mutate(mutation(form))
    assert isinstance(proposal, Proposal)
    assert (proposal.source, server.num_requests) == (EDITED, 1)


SCALING = Idea("Raise the channel numbers.", IdeaKind.UPSCALE)


@pytest.mark.parametrize(
    ("form", "idea", "source", "role"),
    [
        ("full", IDEA, BASE, "mutation"),
        ("edit", IDEA, BASE, "mutation_edit"),
        ("module", IDEA, BASE, "mutation_module"),
        ("module", SCALING, BASE, "mutation_edit"),
        ("module", IDEA, "class Network: width = 1\n", "mutation_edit"),
    ],
)
async def test_the_form_chosen_at_the_draw_decides_which_prompt_is_asked(
    serve: Serve, connect: Connect, vision: Pack, log, form: str, idea: Idea, source: str, role: str
) -> None:
    server = serve(lambda request: Reply("I would rather not."))
    await LanguageModelMutator(connect(server), vision, "full", runs).mutate(mutation(form, idea, source))
    assert [call.role for call in log.calls(CONTEXT.candidate_id)] == [role]


async def test_a_parent_without_a_place_for_a_module_is_said_in_the_note(
    serve: Serve, connect: Connect, vision: Pack
) -> None:
    server = serve(lambda request: Reply("```python\nclass Network: width = 2\n```"))
    asked = mutation("module", IDEA, "class Network: width = 1\n")
    proposal = await LanguageModelMutator(connect(server), vision, check=runs).mutate(asked)
    assert isinstance(proposal, Proposal)
    assert proposal.note == "no known place for a module; a whole file"


async def test_a_pack_without_the_prompts_is_asked_for_whole_files(
    serve: Serve, connect: Connect, plain_pack: Pack, log
) -> None:
    model = connect(serve(lambda request: Reply(f"```python\n{EDITED}```")))
    for form in ("edit", "module"):
        proposal = await LanguageModelMutator(model, plain_pack, check=runs).mutate(mutation(form))
        assert isinstance(proposal, Proposal)
    assert {call.role for call in log.calls(CONTEXT.candidate_id)} == {"mutation"}


async def test_edits_that_do_not_fit_are_asked_for_once_more_with_the_closest_lines(
    serve: Serve, connect: Connect, vision: Pack
) -> None:
    replies = iter([Reply(LOST), Reply(EDIT)])
    server = serve(lambda request: next(replies))
    proposal = await LanguageModelMutator(connect(server), vision, "edit").mutate(mutation(""))
    assert isinstance(proposal, Proposal)
    assert (proposal.source, proposal.note) == (EDITED, "second attempt at the edits")
    told = server.requests[1]["messages"][-1]["content"]
    assert "edit 1, which begins with 'self.gone = nn.ReLU(planes)', is not in the file" in told
    assert "self.act = nn.ReLU()" in told


async def test_edits_that_never_fit_are_a_failure_that_says_so(serve: Serve, connect: Connect, vision: Pack) -> None:
    server = serve(lambda request: Reply(LOST))
    failure = await LanguageModelMutator(connect(server), vision, "edit").mutate(mutation(""))
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind, server.num_requests) == (Step.MUTATE, FailureKind.REPLY, 2)
    assert "is not in the file" in failure.message
    assert "self.act = nn.ReLU()" in failure.log_tail


async def test_the_debugger_mends_by_edits(serve: Serve, connect: Connect, vision: Pack) -> None:
    failure = Failure(Step.EXECUTE, FailureKind.SHAPE, "16 is not 24", "the traceback")
    request = DebugRequest(context("module"), "the request", BASE, failure, Model("class Network: parent = 1\n"))
    server = serve(lambda request: Reply(EDIT))
    proposal = await LanguageModelDebugger(connect(server), vision).debug(request)
    assert proposal == Proposal(EDITED, "the request")
    prompt = prompt_of(server.requests[0])
    assert all(part in prompt for part in ("the traceback", "shape: 16 is not 24", "the request", "parent = 1"))


async def test_the_downscaler_shrinks_by_edits(serve: Serve, connect: Connect, vision: Pack) -> None:
    request = DownscaleRequest(context("edit"), "the request", Model(BASE), Model("x = 1\n"), False, "Lower it.")
    server = serve(lambda request: Reply(EDIT))
    proposal = await LanguageModelDownscaler(connect(server), vision).downscale(request)
    assert proposal == Proposal(EDITED, "the request")
    assert "Lower it." in prompt_of(server.requests[0])


@pytest.mark.parametrize("improved", [True, False])
async def test_the_idea_mutator_edits_the_better_of_the_two(
    serve: Serve, connect: Connect, vision: Pack, improved: bool
) -> None:
    other = Model("class Network: other = 1\n")
    current, previous = (Model(BASE), other) if improved else (other, Model(BASE))
    request = IdeaMutationRequest(context("edit"), IDEA, current, previous, improved)
    server = serve(lambda request: Reply(f"Analysis: so.\nIdea: Smoother activations.\n\n{EDIT}"))
    proposal = await LanguageModelIdeaMutator(connect(server), vision).mutate_idea(request)
    idea = Idea("Smoother activations.", IdeaKind.MUTATED)
    assert proposal == Proposal(EDITED, "Smoother activations.", idea)
    assert ("It improved the network." in prompt_of(server.requests[0])) is improved


@pytest.fixture
def plain_pack(tmp_path: Path) -> Pack:
    """The vision pack without the prompts for edits and modules, as older packs are."""
    import re
    import shutil

    folder = Path(shutil.copytree(load_pack("vision").folder, tmp_path / "plain"))
    text = (folder / "pack.toml").read_text()
    text = re.sub(r"^\w+_(?:edit|module) = \[[^\]]*\]\n", "", text, flags=re.MULTILINE)
    (folder / "pack.toml").write_text(text)
    for path in [*folder.glob("*_edit.md"), *folder.glob("*_module.md")]:
        path.unlink()
    return load_pack(str(folder))
