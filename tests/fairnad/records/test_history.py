from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnad.records.candidate import Call, FailureKind, Stage, Step
from fairnad.records.history import History, PassRate, Record, accuracy, better

BASE = "g00-base-r1-s00-d0"
Outcome = tuple[Step, FailureKind] | None
"""What became of a draw: the step and kind of its failure, ``None`` where it was trained."""


def slot_id(slot: int) -> str:
    return f"g01-fair-r1-s{slot:02d}-d0"


def ids(records: Sequence[Record]) -> list[str]:
    return [record.candidate_id for record in records]


@pytest.fixture(scope="session")
def history_of(trained: Callable[..., Record], failed: Callable[..., Record]) -> Callable[..., History]:
    """Builds the history of a trained base and one draw for each outcome."""

    def build(*outcomes: Outcome) -> History:
        drawn = [
            trained(slot_id(slot)) if outcome is None else failed(slot_id(slot), *outcome)
            for slot, outcome in enumerate(outcomes)
        ]
        return History([trained(BASE), *drawn])

    return build


class TestRecords:
    def test_a_record_knows_where_it_was_drawn(self, trained: Callable[..., Record]) -> None:
        record = trained("g02-refine-r2-s03-d1")
        assert record.place == (2, Stage.REFINE, 2, 3, 1)
        assert record.stage is Stage.REFINE

    def test_a_record_is_trained_or_failed(self, trained: Callable[..., Record], failed: Callable[..., Record]) -> None:
        assert trained().trained
        assert not failed().trained

    def test_a_record_cannot_be_both_or_neither(
        self, trained: Callable[..., Record], failed: Callable[..., Record]
    ) -> None:
        with pytest.raises(ValueError, match="evaluation"):
            replace(trained(), failure=failed().failure)
        with pytest.raises(ValueError, match="evaluation"):
            replace(trained(), evaluation=None)

    def test_records_that_differ_in_time_alone_are_equal(self, trained: Callable[..., Record]) -> None:
        assert trained(seconds=1) == trained(seconds=2)
        assert trained(accuracy=0.5) != trained(accuracy=0.25)

    @pytest.mark.parametrize("measured", [{"seconds": 9.0}, {"input_tokens": 9}, {"output_tokens": 9}])
    def test_times_and_tokens_of_calls_do_not_make_records_different(
        self, trained: Callable[..., Record], measured: dict[str, float]
    ) -> None:
        call = Call("mutator", "model", 10, 20, 1.5, True)
        assert trained(calls=(call,)) == trained(calls=(replace(call, **measured),))


class TestComparison:
    def test_the_higher_accuracy_is_better_and_an_equal_one_is_not(self, trained: Callable[..., Record]) -> None:
        low, high = trained(slot_id(0), 0.25), trained(slot_id(1), 0.5)
        assert better(high, low)
        assert not better(low, high)
        assert not better(high, trained(slot_id(2), 0.5))

    def test_records_of_different_recipes_are_refused_by_name(self, trained: Callable[..., Record]) -> None:
        one, other = trained(slot_id(0), recipe_digest="aaaa"), trained(slot_id(1), recipe_digest="bbbb")
        with pytest.raises(ValueError, match=rf"{slot_id(0)} and {slot_id(1)} .* different recipes \(aaaa, bbbb\)"):
            better(one, other)

    def test_a_record_without_an_evaluation_has_nothing_to_compare(
        self, trained: Callable[..., Record], failed: Callable[..., Record]
    ) -> None:
        for pair in [(trained(), failed()), (failed(), trained())]:
            with pytest.raises(ValueError, match="only trained candidates can be compared"):
                better(*pair)
        with pytest.raises(ValueError, match=f"{slot_id(3)} was not trained"):
            accuracy(failed(slot_id(3)))


class TestOrderAndLookUp:
    def test_records_stand_in_the_order_of_drawing_however_they_came_in(self, trained: Callable[..., Record]) -> None:
        drawn = [BASE, "g00-initial-r1-s00-d0", slot_id(0), slot_id(1), "g01-fair-r1-s00-d1", "g01-refine-r1-s00-d0"]
        history = History(trained(candidate_id) for candidate_id in reversed(drawn))
        assert ids(history.records) == drawn
        assert len(history) == 6

    def test_records_are_found_by_id(self, history_of: Callable[..., History]) -> None:
        history = history_of(None)
        assert history[slot_id(0)] is history.get(slot_id(0)) is history.records[1]
        assert history.get(slot_id(1)) is None
        with pytest.raises(KeyError):
            history[slot_id(1)]


class TestPool:
    def test_the_base_is_a_parent_and_the_result_only_while_nothing_else_is_trained(
        self, trained: Callable[..., Record], failed: Callable[..., Record]
    ) -> None:
        base, lost, won = trained(BASE, 0.9), failed(slot_id(0)), trained(slot_id(1), 0.1)
        before, after = History([base, lost]), History([base, lost, won])
        assert before.pool == before.ranking == (base,)
        assert before.best is base
        assert after.pool == after.ranking == (won,)
        assert after.best is won

    @pytest.mark.parametrize("with_base", [False, True])
    def test_nobody_is_a_parent_while_nothing_is_trained(self, failed: Callable[..., Record], with_base: bool) -> None:
        history = History([failed(slot_id(0)), *([failed(BASE)] if with_base else [])])
        assert history.pool == history.ranking == ()
        assert history.best is None

    def test_the_base_is_trained_but_not_counted(self, history_of: Callable[..., History]) -> None:
        history = history_of(None, (Step.EXECUTE, FailureKind.SHAPE), None)
        assert history.base is history[BASE]
        assert ids(history.trained) == [slot_id(0), slot_id(2)]
        assert ids(history.drawn) == [slot_id(0), slot_id(1), slot_id(2)]

    def test_a_history_without_a_base_has_none(self, trained: Callable[..., Record]) -> None:
        assert History([trained()]).base is None

    @given(st.lists(st.integers(0, 3), max_size=8), st.randoms(use_true_random=False))
    def test_the_ranking_is_by_accuracy_and_ties_keep_the_order_of_drawing(
        self, trained: Callable[..., Record], quarters: list[int], random: Random
    ) -> None:
        records = [trained(slot_id(slot), quarter / 4) for slot, quarter in enumerate(quarters)]
        ranked = [record for level in (3, 2, 1, 0) for record in records if accuracy(record) == level / 4]
        history = History(random.sample(records, len(records)))
        assert list(history.ranking) == ranked
        assert history.best == (ranked[0] if ranked else None)

    def test_records_of_different_recipes_are_never_ranked(self, trained: Callable[..., Record]) -> None:
        history = History([trained(slot_id(0), recipe_digest="aaaa"), trained(slot_id(1), recipe_digest="bbbb")])
        with pytest.raises(ValueError, match="different recipes"):
            _ = history.ranking


class TestFailedInRow:
    @given(st.lists(st.booleans(), max_size=8))
    def test_only_the_draws_since_the_last_trained_one_count(
        self, history_of: Callable[..., History], trained: list[bool]
    ) -> None:
        history = history_of(*(None if won else (Step.JUDGE, FailureKind.DUPLICATE) for won in trained))
        since = trained[::-1].index(True) if True in trained else len(trained)
        assert history.num_failed_in_row == since

    def test_failures_are_counted_by_step_and_kind_without_the_base(self, failed: Callable[..., Record]) -> None:
        shape, budget = (Step.EXECUTE, FailureKind.SHAPE), (Step.DOWNSCALE, FailureKind.BUDGET)
        drawn = [failed(slot_id(slot), *outcome) for slot, outcome in enumerate([shape, budget, shape])]
        history = History([failed(BASE), *drawn])
        assert history.failures() == Counter({("execute", "shape"): 2, ("downscale", "budget"): 1})


class TestPassRate:
    @pytest.mark.parametrize(
        ("outcome", "loose", "strict"),
        [
            (None, 1, 1),
            ((Step.MUTATE, FailureKind.REPLY), 0, 0),
            ((Step.MUTATE, FailureKind.TRUNCATED), 0, 0),
            ((Step.DEBUG, FailureKind.SHAPE), 0, 0),
            ((Step.EXECUTE, FailureKind.TIMEOUT), 0, 0),
            ((Step.EXECUTE, FailureKind.MEMORY), 0, 0),
            ((Step.DOWNSCALE, FailureKind.BUDGET), 0, 0),
            ((Step.MEASURE, FailureKind.BUDGET), 0, 0),
            ((Step.JUDGE, FailureKind.UNCHANGED), 0, 0),
            ((Step.JUDGE, FailureKind.SINGLE_LAYER), 0, 0),
            ((Step.JUDGE, FailureKind.DUPLICATE), 1, 0),
            ((Step.JUDGE, FailureKind.INTEGRITY), 0, 0),
            ((Step.JUDGE, FailureKind.MISCOUNTED), 0, 0),
            ((Step.TRAIN, FailureKind.INTEGRITY), 1, 0),
            ((Step.TRAIN, FailureKind.DIVERGED), 1, 1),
        ],
    )
    def test_a_draw_passes_by_execution_budget_and_structure(
        self, history_of: Callable[..., History], outcome: Outcome, loose: int, strict: int
    ) -> None:
        history = history_of(outcome)
        assert history.pass_rate() == PassRate(loose, 1)
        assert history.pass_rate(strict=True) == PassRate(strict, 1)

    @pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.MEMORY, FailureKind.CRASH, FailureKind.RUNTIME])
    def test_what_fails_in_training_has_passed(self, history_of: Callable[..., History], kind: FailureKind) -> None:
        history = history_of((Step.TRAIN, kind))
        assert history.pass_rate() == history.pass_rate(strict=True) == PassRate(1, 1)

    def test_a_draw_whose_prompt_fits_no_context_got_no_reply(self, history_of: Callable[..., History]) -> None:
        assert history_of((Step.MUTATE, FailureKind.CONTEXT)).pass_rate() == PassRate(0, 0)

    @pytest.mark.parametrize("step", [Step.DEBUG, Step.DOWNSCALE, Step.JUDGE])
    def test_a_later_prompt_that_fits_no_context_does_not_undo_the_first_reply(
        self, history_of: Callable[..., History], step: Step
    ) -> None:
        assert history_of((step, FailureKind.CONTEXT)).pass_rate() == PassRate(0, 1)

    def test_rates_are_taken_over_all_draws_that_got_a_reply(self, history_of: Callable[..., History]) -> None:
        history = history_of(
            None,
            (Step.MUTATE, FailureKind.CONTEXT),
            (Step.JUDGE, FailureKind.DUPLICATE),
            (Step.EXECUTE, FailureKind.SHAPE),
            (Step.MUTATE, FailureKind.REPLY),
        )
        assert history.pass_rate().value == 2 / 4
        assert history.pass_rate(strict=True).value == 1 / 4

    def test_there_is_no_rate_before_the_first_draw(self, history_of: Callable[..., History]) -> None:
        assert history_of().pass_rate() == PassRate(0, 0)
        assert history_of().pass_rate().value is None

    def test_a_person_who_refuses_an_idea_saves_a_reply_and_one_who_refuses_a_candidate_does_not_spoil_it(
        self, history_of: Callable[..., History]
    ) -> None:
        assert history_of((Step.MUTATE, FailureKind.REVIEW)).pass_rate() == PassRate(0, 0)
        refused = history_of((Step.REVIEW, FailureKind.REVIEW))
        assert refused.pass_rate() == refused.pass_rate(strict=True) == PassRate(1, 1)


class TestLookingBack:
    def test_what_was_drawn_before_a_stage_or_a_place_in_it(self, trained: Callable[..., Record]) -> None:
        names = [BASE, "g00-initial-r1-s00-d0", slot_id(0), slot_id(1), "g01-fair-r1-s00-d1", "g01-refine-r2-s00-d0"]
        history = History(map(trained, names))
        fair, refine = Stage.FAIR.order, Stage.REFINE.order
        assert ids(history.before((1, fair, 1)).records) == names[:2]
        assert ids(history.before((1, refine, 1)).records) == names[:5]
        assert ids(history.before((1, refine, 3)).records) == names
        assert ids(history.before((*history[slot_id(1)].place.order, 0)).records) == names[:4]
