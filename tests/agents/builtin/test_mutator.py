import re

import numpy as np
import pytest

from agents.builtin.mutator import BuiltinMutator, ranked
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.ports import CallContext, Model, MutationRequest, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from tests.agents.builtin.networks import BOTTLENECKS, LIBRARY, RESNET, SOURCES, TRANSFORMATIONS, costs, report, run

CONTEXT = CallContext("g01-fair-r1-s00-d0", 0, 7)
RECALIBRATION = Tag(Target.PERFORMANCE, Granularity.BLOCK, "adaptive feature recalibration", "channel attention")


async def mutate(source: str, idea: Idea, target: MutationTarget, seed: int = 7, **actions: str) -> Proposal | Failure:
    context = CallContext(CONTEXT.candidate_id, 0, seed)
    mutator = BuiltinMutator({idea.text: actions["action"]} if actions else {}, LIBRARY)
    return await mutator.mutate(MutationRequest(context, idea, target, Model(source, report(source))))


async def act(source: str, action: str, seed: int = 7) -> Proposal:
    answer = await mutate(source, Idea("do it", IdeaKind.UPSCALE), MutationTarget.NETWORK, seed, action=action)
    assert isinstance(answer, Proposal)
    return answer


async def test_an_idea_is_carried_out_by_the_transformation_whose_words_it_uses() -> None:
    idea = Idea("Gate the channels after pooling along rows and along columns", tag=RECALIBRATION)

    answer = await mutate(RESNET, idea, MutationTarget.NEW_MODULE)

    assert isinstance(answer, Proposal)
    assert "class CoordinateGate(nn.Module):" in answer.source
    assert answer.prompt == idea.text
    assert answer.note == "coordinate_gate after the branch of BaseBlock"
    assert answer.idea is None


async def test_an_idea_for_an_existing_module_adds_no_class() -> None:
    idea = Idea("Squeeze and excitation", tag=RECALIBRATION)

    answer = await mutate(RESNET, idea, MutationTarget.MODIFY_MODULE)

    assert isinstance(answer, Proposal)
    assert re.findall(r"class (\w+)", answer.source) == re.findall(r"class (\w+)", RESNET)
    assert "def _channel_gate(self, x):" in answer.source


async def test_the_same_context_gives_the_same_source() -> None:
    idea = Idea("Something else", tag=RECALIBRATION)
    first = await mutate(RESNET, idea, MutationTarget.NEW_MODULE)

    assert await mutate(RESNET, idea, MutationTarget.NEW_MODULE) == first
    others = [await mutate(RESNET, idea, MutationTarget.NEW_MODULE, seed) for seed in range(4)]
    assert len({other.source for other in others if isinstance(other, Proposal)}) > 1


async def test_another_of_the_category_stands_in_for_one_without_a_place() -> None:
    encoding = Tag(Target.PERFORMANCE, Granularity.BLOCK, "input encoding", "cnn stem")
    idea = Idea("One more stem convolution", tag=encoding)

    answer = await mutate(BOTTLENECKS, idea, MutationTarget.MODIFY_MODULE)

    assert isinstance(answer, Proposal)
    assert "stem" in answer.note
    run(answer.source)


def test_the_best_fitting_comes_first_and_all_of_the_category_follow() -> None:
    idea = Idea("Pool the maximum and the mean", tag=RECALIBRATION)

    order = ranked(idea, MutationTarget.NEW_MODULE, np.random.default_rng(0), TRANSFORMATIONS)

    assert order[0][0].name == "dual pooling gate"
    assert {found.name for found, _ in order} == {
        found.name for found in TRANSFORMATIONS if any(c.main == RECALIBRATION.main for c in found.categories)
    }


def test_a_category_of_another_name_is_served_by_its_granularity() -> None:
    idea = Idea("Use windows", tag=Tag(Target.EFFICIENCY, Granularity.OPERATION, "attention made cheap"))

    order = ranked(idea, MutationTarget.NEW_MODULE, np.random.default_rng(0), TRANSFORMATIONS)

    assert order[0][0].name == "window attention"
    assert all(any(c.target is Target.EFFICIENCY for c in found.categories) for found, _ in order)


async def test_an_idea_without_tag_and_without_known_words_is_not_applicable() -> None:
    answer = await mutate(RESNET, Idea("xyzzy", IdeaKind.MUTATED), MutationTarget.NETWORK)

    assert answer == Failure(
        Step.MUTATE,
        FailureKind.NOT_APPLICABLE,
        "no transformation found a place for the idea in the network",
    )


@pytest.mark.parametrize("source", ["def broken(:", "x = 1\n", "class Network:\n    pass\n"])
async def test_a_parent_that_cannot_be_read_is_a_failure(source: str) -> None:
    request = MutationRequest(CONTEXT, Idea("Squeeze", tag=RECALIBRATION), MutationTarget.NEW_MODULE, Model(source))

    answer = await BuiltinMutator({}, LIBRARY).mutate(request)

    assert isinstance(answer, Failure)
    assert (answer.step, answer.kind) == (Step.MUTATE, FailureKind.NOT_APPLICABLE)
    assert answer.message.startswith("the parent cannot be read: ")


@pytest.mark.parametrize("name", ["small_resnet", "comprehensions", "bottlenecks"])
@pytest.mark.parametrize("action", ["deepen-middle", "deepen-end", "widen-proportional", "widen-unevenly"])
async def test_scaling_up_makes_a_larger_network_that_runs(name: str, action: str) -> None:
    before = costs(SOURCES[name])

    answer = await act(SOURCES[name], action)

    run(answer.source)
    after = costs(answer.source)
    assert after["params"] > before["params"]
    assert 1.02 < after["flops"] / before["flops"] < 5


async def test_deepening_keeps_the_widths_and_puts_most_repeats_where_asked() -> None:
    middle, end = await act(RESNET, "deepen-middle"), await act(RESNET, "deepen-end")

    assert re.sub(r"repeats=\d+", "repeats=2", middle.source) == RESNET
    first, second, third = map(int, re.findall(r"repeats=(\d+)", middle.source))
    assert second == max(first, second, third) > 2
    first, second, third = map(int, re.findall(r"repeats=(\d+)", end.source))
    assert first <= second <= third > 2


async def test_widening_by_one_factor_keeps_ratios_and_divisibility() -> None:
    source = (await act(RESNET, "widen-proportional")).source

    first, second, third = (int(re.search(pattern, source)[1]) for pattern in _WIDTHS)  # type: ignore[index]

    assert first > 16
    assert second / first == pytest.approx(2, rel=0.15)
    assert third / second == pytest.approx(2, rel=0.15)
    assert all(width % 4 == 0 for width in (first, second, third))
    assert f"Stem(3, {first})" in source
    assert f"nn.Linear({third}, num_classes)" in source


_WIDTHS = [rf"self\.layers{i} = self\._make_layers\(\d+, (\d+)," for i in (1, 2, 3)]


async def test_widening_unevenly_changes_ratios() -> None:
    ratios = set()
    for seed in range(6):
        source = (await act(RESNET, "widen-unevenly", seed)).source
        widths = [int(re.search(pattern, source)[1]) for pattern in _WIDTHS]  # type: ignore[index]
        ratios.add((round(widths[1] / widths[0], 1), round(widths[2] / widths[1], 1)))
    assert len(ratios) >= 4


@pytest.mark.parametrize("name", ["small_resnet", "comprehensions", "bottlenecks"])
@pytest.mark.parametrize("action", ["kernel", "stride", "squeeze-excitation", "activation"])
async def test_adjustments_run_and_keep_depth_and_width(name: str, action: str) -> None:
    answer = await act(SOURCES[name], action)

    assert answer.source != SOURCES[name]
    network = run(answer.source)
    assert len(network.layers2) == len(run(SOURCES[name]).layers2)  # type: ignore[arg-type]


async def test_the_block_s_own_switch_is_used_where_there_is_one() -> None:
    answer = await act(RESNET, "squeeze-excitation")

    assert answer.note == "use_se=True in BaseBlock"
    assert "use_se=True):" in answer.source


async def test_widths_follow_fixed_groups() -> None:
    grouped = RESNET.replace("kernel_size, 1, padding, bias=False)", "kernel_size, 1, padding, groups=16, bias=False)")
    for seed in range(4):
        run((await act(grouped, "widen-unevenly", seed)).source)
