"""Scales, step lines and frontiers of the report's charts."""

import pytest

from fairnad.domain.budget import Budget
from fairnad.domain.objective import ACCURACY
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import CandidateId, Evaluation, Stage
from fairnad.records.history import History, Record
from graphs.report.charts import Axis, charts, frontier, step_line

BUDGETS = [Budget("params", "parameters", 2000.0), Budget("flops", "multiply-adds an image", 9000.0)]


def trained(stage, slot, accuracy, params=1000.0, flops=5000.0):
    place = str(CandidateId(0 if stage is Stage.BASE else 1, stage, 1, slot, 0))
    evaluation = Evaluation(accuracy, "recipe", {"params": params, "flops": flops}, place)
    return Record(place, "", Idea("", IdeaKind.NONE), "", evaluation)


def test_an_axis_maps_its_ends_and_clamps_what_lies_outside():
    axis = Axis(10.0, 20.0, 0.0, 100.0)
    assert [axis.at(value) for value in (10, 15, 20, 5, 99)] == [0.0, 50.0, 100.0, 0.0, 100.0]


def test_an_axis_can_run_upwards_on_the_page():
    assert Axis(0.0, 1.0, 200.0, 0.0).at(0.25) == 150.0


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (0.83, 0.96, ["0.85", "0.9", "0.95"]),
        (3.1e5, 1.6e6, ["5e+05", "1e+06", "1.5e+06"]),
        (-0.5, 5.5, ["0", "2", "4"]),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(low, high, texts):
    assert [text for _, text in Axis(low, high, 0.0, 1.0).ticks("{:.3g}".format)] == texts


def test_an_axis_over_equal_values_still_spans_something():
    axis = Axis.over([0.5, 0.5], 0.0, 100.0, at_least=0.02)
    assert (axis.low, axis.high) == pytest.approx((0.49, 0.51))
    assert axis.at(0.5) == 50.0


def test_a_step_line_goes_across_before_it_goes_up():
    assert step_line([(1.0, 9.0), (2.0, 9.0), (3.0, 4.0)]) == "M1.0 9.0H2.0V9.0H3.0V4.0"
    assert step_line([]) == ""


def test_the_frontier_holds_what_nothing_beats_cheapest_first():
    points = [(3.0, 0.9), (1.0, 0.5), (2.0, 0.4), (2.0, 0.7), (4.0, 0.9), (1.0, 0.5)]
    assert frontier(points, ACCURACY) == [(1.0, 0.5), (2.0, 0.7), (3.0, 0.9)]


def test_nothing_is_charted_before_something_has_trained():
    assert charts(History(), BUDGETS) == []


def test_the_course_shows_every_trained_candidate_the_best_so_far_and_the_base():
    base = trained(Stage.BASE, 0, 0.5)
    records = [trained(Stage.FAIR, slot, accuracy) for slot, accuracy in enumerate((0.4, 0.6, 0.55))]
    course = charts(History([base, *records]), BUDGETS)[0]
    across, height = [mark.x for mark in course.marks], [mark.y for mark in course.marks]
    assert across == sorted(set(across))
    assert course.base_y == height[0]
    start, middle, end = across[1:]
    assert course.line == f"M{start} {height[1]}H{middle}V{height[2]}H{end}V{height[2]}"


def test_each_budget_has_a_chart_with_its_limit_in_view():
    params, flops = charts(History([trained(Stage.FAIR, 0, 0.5), trained(Stage.FAIR, 1, 0.6)]), BUDGETS)[1:]
    assert [params.limit_text, flops.limit_text] == ["limit 2k", "limit 9k"]
    for chart in (params, flops):
        assert chart.left < chart.limit_x < chart.right
        assert chart.base_y is None


def test_a_few_far_off_accuracies_do_not_flatten_the_rest_but_are_marked():
    records = [trained(Stage.FAIR, slot, 0.9 + slot / 1000) for slot in range(20)]
    low = trained(Stage.REFINE, 0, 0.1)
    course = charts(History([*records, low]), BUDGETS)[0]
    assert [mark.record for mark in course.marks if mark.is_outside] == [low]
    assert min(mark.y for mark in course.marks) < course.top + 40
    assert course.marks[-1].y == course.bottom


def test_a_base_far_below_its_candidates_stays_in_view():
    records = [trained(Stage.BASE, 0, 0.1), *(trained(Stage.FAIR, slot, 0.9) for slot in range(20))]
    course = charts(History(records), BUDGETS)[0]
    assert not any(mark.is_outside for mark in course.marks)
    assert course.base_y < course.bottom
