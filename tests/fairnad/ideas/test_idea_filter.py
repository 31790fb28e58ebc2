from __future__ import annotations

import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from fairnad.ideas.idea_filter import IdeaFilter, filter_text

GATE = Tag(Target.PERFORMANCE, Granularity.BLOCK, "recalibration", "channel attention")
GROUPS = Tag(Target.EFFICIENCY, Granularity.OPERATION, "efficient convolution", "grouped convolution")


def idea(tag: Tag | None = GATE, year: int | None = 2020, title: str = "Gates for Networks") -> Idea:
    kind = IdeaKind.KNOWLEDGE if tag else IdeaKind.UPSCALE
    return Idea("Put a gate behind every block.", kind, tag, Source(title, year))


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        (IdeaFilter(), True),
        (IdeaFilter(subs=("Channel Attention",)), True),
        (IdeaFilter(mains=("recalibration",), subs=("gelu",)), True),
        (IdeaFilter(mains=("activation",), subs=("gelu",)), False),
        (IdeaFilter(without=("channel attention",)), False),
        (IdeaFilter(mains=("recalibration",), without=("recalibration",)), False),
        (IdeaFilter(targets=(Target.PERFORMANCE,), granularities=(Granularity.BLOCK, Granularity.NETWORK)), True),
        (IdeaFilter(targets=(Target.EFFICIENCY,)), False),
        (IdeaFilter(granularities=(Granularity.NETWORK,)), False),
        (IdeaFilter(since=2020, until=2020), True),
        (IdeaFilter(since=2021), False),
        (IdeaFilter(until=2019), False),
        (IdeaFilter(title="for networks"), True),
        (IdeaFilter(title="squeeze"), False),
    ],
)
def test_an_idea_passes_what_asks_for_it(asked: IdeaFilter, passes: bool) -> None:
    assert asked.passes(idea()) is passes


def test_an_idea_without_a_year_or_a_tag_passes_no_filter_on_them() -> None:
    assert not IdeaFilter(since=1).passes(idea(year=None))
    assert not IdeaFilter(until=9999).passes(idea(year=None))
    assert not IdeaFilter(subs=("channel attention",)).passes(idea(tag=None))
    assert IdeaFilter(since=2020).passes(idea(tag=None))


def test_only_a_filter_that_asks_for_something_is_true() -> None:
    assert not IdeaFilter()
    assert IdeaFilter(without=("gelu",))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (IdeaFilter(), ""),
        (IdeaFilter(subs=("gelu", "relu"), since=2020), "gelu or relu, from 2020 on"),
        (
            IdeaFilter(targets=(Target.EFFICIENCY,), granularities=(Granularity.NETWORK,), until=2018),
            "network level, for efficiency, up to 2018",
        ),
        (IdeaFilter(mains=("norm",), without=("gelu",), since=2020, until=2020), "norm, without gelu, of 2020"),
        (IdeaFilter(title="Pools"), "of sources named 'Pools'"),
    ],
)  # fmt: skip
def test_a_filter_is_told_in_words(asked: IdeaFilter, text: str) -> None:
    assert filter_text(asked) == text
