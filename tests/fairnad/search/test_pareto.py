from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairnad.search import pareto
from fairnad.search.pareto import Floats

GRID = st.integers(-1, 2).map(float)
REAL = st.floats(-1e6, 1e6, width=32)


@st.composite
def point_sets(draw: st.DrawFn, min_points: int = 0) -> Floats:
    """Up to 12 points of 1 to 4 objectives; on the grid most coordinates are tied and many points are equal."""
    shape = (draw(st.integers(min_points, 12)), draw(st.integers(1, 4)))
    points: Floats = draw(arrays(np.float64, shape, elements=draw(st.sampled_from([GRID, REAL]))))
    return points


def dominates(one: Floats, other: Floats) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))


def brute_force_ranks(points: Floats) -> list[int]:
    """Take away what nothing dominates, again and again."""
    rank, level, left = [0] * len(points), 0, set(range(len(points)))
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            rank[i] = level
        level, left = level + 1, left - front
    return rank


def textbook_crowding(front: Floats) -> list[float]:
    """The definition, point by point: the gap between both neighbours in every objective, in units of its range."""
    distance = [0.0] * len(front)
    for objective in front.T.tolist():
        keys = [(value, i) for i, value in enumerate(objective)]
        for key in keys:
            below, above = [k for k in keys if k < key], [k for k in keys if k > key]
            if min(objective) == max(objective):
                continue
            if below and above:
                gap = min(above)[0] - max(below)[0]
                distance[key[1]] += gap / (max(objective) - min(objective))
            else:
                distance[key[1]] = float("inf")
    return distance


@given(point_sets())
def test_ranks_are_those_of_brute_force_sorting(points: Floats) -> None:
    assert pareto.ranks(points).tolist() == brute_force_ranks(points)


@given(point_sets(min_points=1), st.data())
def test_equal_points_share_a_rank(points: Floats, data: st.DataObject) -> None:
    twin = data.draw(st.integers(0, len(points) - 1))
    rank = pareto.ranks(np.vstack([points, points[twin]]))
    assert rank[-1] == rank[twin]


@given(st.lists(GRID, min_size=1, max_size=12))
def test_ranks_of_one_objective_count_the_distinct_better_values(values: list[float]) -> None:
    distinct = sorted(set(values))
    assert pareto.ranks(np.array(values)[:, None]).tolist() == [distinct.index(value) for value in values]


def test_no_points_have_no_ranks() -> None:
    rank = pareto.ranks(np.zeros((0, 3)))
    assert rank.shape == (0,)
    assert rank.dtype == np.int64


def test_ranks_leave_the_objectives_untouched() -> None:
    points = np.array([[2.0, 1.0], [1.0, 2.0], [2.0, 2.0]])
    before = points.copy()
    pareto.ranks(points[::-1])
    np.testing.assert_array_equal(points, before)


@given(point_sets(min_points=1))
def test_crowding_is_that_of_the_textbook(front: Floats) -> None:
    np.testing.assert_allclose(pareto.crowding(front), textbook_crowding(front), rtol=1e-12)


@given(arrays(np.float64, (7, 3), elements=GRID), st.sampled_from([0.25, 2.0, 1024.0]))
def test_crowding_does_not_depend_on_the_units_of_an_objective(front: Floats, factor: float) -> None:
    np.testing.assert_array_equal(pareto.crowding(front), pareto.crowding(front * [factor, 1.0, 1.0] + [0.0, 0.0, 8.0]))


def test_crowding_of_a_front_worked_by_hand() -> None:
    front = np.array([[3.0, 1.0], [0.0, 4.0], [4.0, 0.0], [1.0, 2.0]])
    assert pareto.crowding(front).tolist() == [3 / 4 + 2 / 4, np.inf, np.inf, 3 / 4 + 3 / 4]


def test_an_objective_that_is_the_same_for_all_adds_nothing() -> None:
    front = np.array([[0.0, 7.0], [1.0, 7.0], [4.0, 7.0]])
    assert pareto.crowding(front).tolist() == [np.inf, 1.0, np.inf]
    assert pareto.crowding(np.full((3, 2), 7.0)).tolist() == [0.0, 0.0, 0.0]


@given(point_sets(), st.integers(0, 15))
def test_selection_sorts_by_rank_then_crowding_then_position(points: Floats, num_selected: int) -> None:
    rank = brute_force_ranks(points)
    distance = [0.0] * len(points)
    for level in set(rank):
        members = [i for i, r in enumerate(rank) if r == level]
        for i, crowding in zip(members, pareto.crowding(points[members]).tolist(), strict=True):
            distance[i] = crowding
    expected = sorted(range(len(points)), key=lambda i: (rank[i], -distance[i], i))
    assert pareto.select(points, num_selected) == expected[:num_selected]


def test_a_crowded_point_of_the_first_front_goes_before_a_lonely_one_of_the_second() -> None:
    first = [[0.0, 3.0], [1.0, 1.0], [1.01, 0.99], [3.0, 0.0]]
    second = [[100.0, 100.0]]
    assert pareto.select(np.array(second + first), 4) == [1, 4, 2, 3]


def test_further_fronts_fill_up_in_their_order() -> None:
    points = np.array([[3.0, 3.0], [2.0, 2.0], [1.0, 1.0]])
    assert pareto.select(points, 2) == [2, 1]


def test_the_front_that_does_not_fit_whole_gives_its_least_crowded() -> None:
    points = np.array([[0.0, 8.0], [1.0, 6.0], [2.0, 5.0], [6.0, 1.0], [8.0, 0.0]])
    assert pareto.select(points, 3) == [0, 4, 3]


def test_equal_points_are_selected_in_their_order() -> None:
    assert pareto.select(np.ones((4, 2)), 3) == [0, 1, 2]


@pytest.mark.parametrize("num_points", [0, 1, 3])
def test_fewer_points_than_asked_for_are_all_selected_once(num_points: int) -> None:
    points = np.arange(2.0 * num_points).reshape(num_points, 2)
    assert pareto.select(points, 5) == list(range(num_points))


def test_the_compiled_library_is_loaded_only_when_points_are_ranked() -> None:
    program = "import fairnad.search.pareto, fairnad.settings, sys; sys.exit('moocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
