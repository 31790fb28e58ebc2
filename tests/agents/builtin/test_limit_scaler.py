"""Networks widened to just below their limits, over real costs."""

import ast

import pytest

from agents.builtin.limit_scaler import LEAST_SHARE, MOST_SHARE, widen_to_limits
from fairnad.domain.budget import Budget, load
from prompts.loader import load_pack
from tests.agents.builtin.networks import BOTTLENECKS, COMPREHENSIONS, RESNET, check, costs, run

PACK = load_pack("vision")
SMALL = PACK.base_source("small_resnet")
SHUFFLED = PACK.base_source("shufflenetv2_05")
LIMITS = [Budget("params", "parameters", 22_000), Budget("flops", "multiply-adds an image", 1_500_000)]


def times(source, factor):
    """Limits at a multiple of a source's costs."""
    return [Budget(name, "", factor * cost) for name, cost in costs(source).items()]


@pytest.mark.parametrize("factor", [2, 4, 20])
@pytest.mark.parametrize("source", [SMALL, RESNET, COMPREHENSIONS, BOTTLENECKS], ids=lambda source: source[:40])
async def test_the_tightest_limit_is_filled_to_between_80_and_95_percent(source, factor):
    limits = times(source, factor)

    scaled = await widen_to_limits(source, check, limits)

    assert scaled is not None
    assert LEAST_SHARE <= max(load(costs(scaled.source), limits).values()) <= MOST_SHARE
    assert scaled.report.costs == costs(scaled.source)
    run(scaled.source)


async def test_the_default_task():
    scaled = await widen_to_limits(SMALL, check, LIMITS)

    assert scaled is not None
    assert scaled.note == "widths 4, 4, 8, 8 → 8, 8, 16, 16"
    assert max(load(scaled.report.costs, LIMITS).values()) == pytest.approx(0.943, abs=0.001)


async def test_odd_halves_do_not_build_and_are_not_read_as_too_large():
    limits = times(SHUFFLED, 3)

    scaled = await widen_to_limits(SHUFFLED, check, limits)

    assert scaled is not None
    assert max(load(scaled.report.costs, limits).values()) >= LEAST_SHARE


async def test_equal_widths_of_different_stages_grow_apart():
    limits = [Budget("params", "", 200_000), Budget("flops", "", 5_000_000)]

    scaled = await widen_to_limits(SMALL, check, limits)

    assert scaled is not None
    widths = [int(word) for word in scaled.note.split("→")[1].replace(",", "").split()]
    assert len(widths) == 4  # stem, and three stages; the literals 4, 4 and 8, 8 are no longer one number each


async def test_the_same_source_gives_the_same_network():
    first, second = [await widen_to_limits(SMALL, check, LIMITS) for _ in range(2)]
    assert first == second


async def test_only_literals_of_widths_change():
    scaled = await widen_to_limits(SMALL, check, LIMITS)

    assert scaled is not None
    lines = zip(SMALL.splitlines(), scaled.source.splitlines(), strict=True)
    changed = [new for old, new in lines if old != new]
    assert len(changed) == 5
    assert all("self." in line for line in changed)
    ast.parse(scaled.source)


@pytest.mark.parametrize(
    ("source", "factor"),
    [
        pytest.param(SMALL, 1.2, id="full already"),
        pytest.param(SMALL, 0.5, id="over"),
        pytest.param("x = 1\n", 4, id="no network"),
        pytest.param("class Network(:\n", 4, id="no Python"),
        pytest.param(SMALL.replace("Stem(3, 4)", "Stem(3, 5)"), 4, id="does not run"),
    ],
)
async def test_what_has_no_room_or_does_not_run_is_left_as_it_is(source, factor):
    assert await widen_to_limits(source, check, times(SMALL, factor)) is None
