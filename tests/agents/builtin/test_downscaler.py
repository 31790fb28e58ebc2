import re

import pytest

from agents.builtin.downscaler import BuiltinDownscaler, use_once
from agents.builtin.mutator import BuiltinMutator
from fairnad.domain.budget import Budget, within
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.ports import CallContext, DownscaleRequest, Model, MutationRequest, Proposal
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from tests.agents.builtin.networks import COMPREHENSIONS, LIBRARY, RESNET, SOURCES, check, costs, run

WAYS = ["shrink-depth-middle", "shrink-depth-end", "shrink-width-proportional", "shrink-width-unevenly"]
CONTEXT = CallContext("g01-fair-r1-s00-d0", 1, 3)


class CountingCheck:
    """Counts real costs, and how often it was asked."""

    def __init__(self) -> None:
        self.num_calls = 0

    async def __call__(self, source: str) -> CheckReport | Failure:
        self.num_calls += 1
        return await check(source)


async def downscale(
    source: str, budgets: list[Budget], way: str, *, parent: str = RESNET, single_use: bool = False
) -> tuple[Proposal | Failure, CountingCheck]:
    check = CountingCheck()
    request = DownscaleRequest(CONTEXT, "the idea", Model(source), Model(parent), single_use, "smaller, please")
    answer = await BuiltinDownscaler(check, budgets, {"smaller, please": way}).downscale(request)
    return answer, check


def half_of(source: str) -> list[Budget]:
    """Limits of two thirds of the parameters and half of the multiply-adds."""
    found = costs(source)
    return [Budget("params", "", found["params"] / 1.5), Budget("flops", "", found["flops"] / 2)]


DEEP = RESNET.replace("repeats=2", "repeats=5")


@pytest.mark.parametrize("name", ["small_resnet", "comprehensions", "bottlenecks"])
@pytest.mark.parametrize("way", WAYS)
async def test_every_limit_is_met(name: str, way: str) -> None:
    source = SOURCES[name]
    budgets = half_of(source)

    answer, check = await downscale(source, budgets, way)

    assert isinstance(answer, Proposal)
    assert within(costs(answer.source), budgets)
    assert answer.prompt == "the idea"
    assert answer.note.startswith(f"{way}: ")
    assert check.num_calls <= 9
    run(answer.source)


async def test_one_repeat_more_would_not_fit() -> None:
    budgets = half_of(DEEP)

    answer, _ = await downscale(DEEP, budgets, "shrink-depth-middle")

    assert isinstance(answer, Proposal)
    shallow = [int(number) for number in re.findall(r"repeats=(\d+)", answer.source)]
    assert shallow[1] == max(shallow)
    assert costs(answer.source)["flops"] > 0.75 * budgets[1].limit
    grown = [_with_repeats(answer.source, stage, shallow[stage] + 1) for stage in range(3)]
    assert not any(within(costs(source), budgets) for source in grown)


def _with_repeats(source: str, stage: int, repeats: int) -> str:
    spans = [match.span(1) for match in re.finditer(r"repeats=(\d+)", source)]
    start, end = spans[stage]
    return f"{source[:start]}{repeats}{source[end:]}"


async def test_widths_one_step_larger_would_not_fit() -> None:
    budgets = half_of(DEEP)

    answer, _ = await downscale(DEEP, budgets, "shrink-width-proportional")

    assert isinstance(answer, Proposal)
    widest = int(re.search(r"nn\.Linear\((\d+), num_classes\)", answer.source)[1])  # type: ignore[index]
    assert 0 < widest < 64
    assert widest % 4 == 0
    larger = re.sub(rf"\b{widest}\b", str(widest + 4), answer.source)
    assert not within(costs(larger), budgets)


async def test_the_end_keeps_most_repeats_when_asked() -> None:
    answer, _ = await downscale(DEEP, half_of(DEEP), "shrink-depth-end")

    assert isinstance(answer, Proposal)
    first, second, third = map(int, re.findall(r"repeats=(\d+)", answer.source))
    assert first <= second <= third


async def test_width_follows_where_depth_is_not_enough() -> None:
    found = costs(DEEP)
    budgets = [Budget("params", "", found["params"] / 20)]

    answer, _ = await downscale(DEEP, budgets, "shrink-depth-middle")

    assert isinstance(answer, Proposal)
    assert within(costs(answer.source), budgets)
    assert sorted(map(int, re.findall(r"repeats=(\d+)", answer.source))) == [1, 1, 2]


async def test_the_smallest_is_returned_where_nothing_fits() -> None:
    answer, _ = await downscale(DEEP, [Budget("params", "", 10)], "shrink-width-proportional")

    assert isinstance(answer, Proposal)
    assert sorted(map(int, re.findall(r"repeats=(\d+)", answer.source))) == [1, 1, 2]
    assert "nn.Linear(4, num_classes)" in answer.source
    run(answer.source)


async def test_the_other_way_is_taken_where_one_leads_to_sources_that_do_not_run() -> None:
    stubborn = DEEP.replace("x = self.pool(x)", "x = x + torch.zeros(1, 64, 1, 1)\n        x = self.pool(x)")
    budgets = half_of(stubborn)

    answer, _ = await downscale(stubborn, budgets, "shrink-width-proportional")

    assert isinstance(answer, Proposal)
    assert answer.note.startswith("shrink-depth-middle: repeats 5, 5, 5 → ")
    assert within(costs(answer.source), budgets)


async def test_a_network_without_literals_is_not_applicable() -> None:
    plain = "import torch.nn as nn\n\n\nclass Network(nn.Module):\n    def __init__(self, num_classes):\n"
    plain += "        super().__init__()\n        self.head = nn.Linear(3, num_classes)\n\n"
    plain += "    def forward(self, x):\n        return self.head(x.mean(dim=(2, 3)))\n"

    answer, _ = await downscale(plain, [Budget("params", "", 10)], "shrink-depth-middle")

    assert answer == Failure(
        Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, "the network has no repeats or widths that could be smaller"
    )


async def test_a_source_that_does_not_parse_is_not_applicable() -> None:
    answer, _ = await downscale("class Network(", [Budget("params", "", 10)], "shrink-depth-middle")

    assert isinstance(answer, Failure)
    assert answer.message.startswith("the source cannot be read: ")


@pytest.mark.parametrize("name", SOURCES)
async def test_an_added_module_is_used_once_at_the_end_of_the_parent(name: str) -> None:
    parent = SOURCES[name]
    oversized = await _with_new_module(parent, "adaptive feature recalibration", "channel attention")

    answer, check = await downscale(oversized, half_of(oversized), "single-use", parent=parent, single_use=True)

    assert isinstance(answer, Proposal)
    assert answer.note == "ChannelGate used once, at the end of the backbone"
    assert check.num_calls == 0
    assert answer.source.count("ChannelGate(") == 2  # the class, and its one use
    assert costs(parent)["params"] < costs(answer.source)["params"] < costs(oversized)["params"]
    run(answer.source)


async def test_an_added_block_is_used_once_too() -> None:
    oversized = await _with_new_module(
        RESNET, "efficient block structures", "inverted residual block", Target.EFFICIENCY
    )

    answer, _ = await downscale(oversized, half_of(oversized), "single-use", single_use=True)

    assert isinstance(answer, Proposal)
    assert "self.inverted_residual = InvertedResidual(in_channels=64, out_channels=64)" in answer.source
    run(answer.source)


async def test_a_helper_of_the_added_module_comes_with_it() -> None:
    helper = "class Inner(nn.Module):\n    def __init__(self, channels):\n        super().__init__()\n"
    helper += "        self.conv = nn.Conv2d(channels, channels, 1)\n\n"
    helper += "    def forward(self, x):\n        return self.conv(x)\n\n\n"
    outer = helper.replace("Inner", "Outer").replace("nn.Conv2d(channels, channels, 1)", "Inner(channels)")
    oversized = RESNET.replace("class Network", f"{outer}{helper}class Network")

    answer, _ = await downscale(oversized, half_of(RESNET), "single-use", single_use=True)

    assert isinstance(answer, Proposal)
    assert answer.note == "Outer used once, at the end of the backbone"
    run(answer.source)


async def test_it_shrinks_where_no_module_was_added() -> None:
    budgets = half_of(DEEP)

    answer, _ = await downscale(DEEP, budgets, "single-use", parent=DEEP, single_use=True)

    assert isinstance(answer, Proposal)
    assert answer.note.startswith("shrink-")
    assert within(costs(answer.source), budgets)


def test_a_module_that_asks_for_more_than_widths_is_not_used_once() -> None:
    needy = "class Needy(nn.Module):\n    def __init__(self, channels, table):\n        super().__init__()\n"
    needy += "        self.conv = nn.Conv2d(channels, channels, 1)\n\n    def forward(self, x):\n        return x\n\n\n"

    assert use_once(COMPREHENSIONS.replace("class Network", f"{needy}class Network"), COMPREHENSIONS) is None


async def _with_new_module(parent: str, main: str, sub: str, target: Target = Target.PERFORMANCE) -> str:
    tag = Tag(target, Granularity.BLOCK, main, sub)
    text = "Squeeze and excitation" if target is Target.PERFORMANCE else "An inverted residual"
    request = MutationRequest(CONTEXT, Idea(text, tag=tag), MutationTarget.NEW_MODULE, Model(parent))
    answer = await BuiltinMutator({}, LIBRARY).mutate(request)
    assert isinstance(answer, Proposal)
    return answer.source
