from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import chdtrc

from fairnad.domain.budget import Budget
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.history import History, Record
from fairnad.search.sampling import Fairness, Key, cycle, draw, draw_key, fairness_key, generator, pareto_parents, top_k

NUM_DRAWS = 3000
PLACE = CandidateId(1, Stage.FAIR, 1, 0, 0)


def tag(target: Target, granularity: Granularity, main: str, sub: str = "") -> Tag:
    return Tag(target, granularity, main, sub)


NUM_IDEAS = {
    tag(Target.PERFORMANCE, Granularity.OPERATION, "feature extraction", "attention"): 40,
    tag(Target.PERFORMANCE, Granularity.OPERATION, "feature extraction", "convolution"): 9,
    tag(Target.PERFORMANCE, Granularity.OPERATION, "recalibration", "attention"): 1,
    tag(Target.PERFORMANCE, Granularity.NETWORK, "layer order"): 2,
    tag(Target.EFFICIENCY, Granularity.OPERATION, "feature extraction", "attention"): 3,
    tag(Target.EFFICIENCY, Granularity.BLOCK, "layer order"): 1,
}
"""A lopsided idea store in which sub-categories, main categories and granularities share their names."""

TAGS = [path for path, num_ideas in NUM_IDEAS.items() for _ in range(num_ideas)]

KEYS = {
    Fairness.NONE: {()},
    Fairness.GRANULARITY: {
        ("performance", "operation"),
        ("performance", "network"),
        ("efficiency", "operation"),
        ("efficiency", "block and connectivity"),
    },
    Fairness.MAIN: {
        ("performance", "operation", "feature extraction"),
        ("performance", "operation", "recalibration"),
        ("performance", "network", "layer order"),
        ("efficiency", "operation", "feature extraction"),
        ("efficiency", "block and connectivity", "layer order"),
    },
    Fairness.SUB: {
        ("performance", "operation", "feature extraction", "attention"),
        ("performance", "operation", "feature extraction", "convolution"),
        ("performance", "operation", "recalibration", "attention"),
        ("performance", "network", "layer order", ""),
        ("efficiency", "operation", "feature extraction", "attention"),
        ("efficiency", "block and connectivity", "layer order", ""),
    },
}

NAMES = st.sampled_from(["a", "b"])
ANY_TAG = st.builds(Tag, st.sampled_from(Target), st.sampled_from(Granularity), NAMES, st.sampled_from(["", "a", "b"]))
PLACES = st.builds(CandidateId, st.integers(0, 300), st.sampled_from(Stage), *(st.integers(0, 300) for _ in range(3)))


def looks_uniform(drawn: Iterable[Hashable], over: set[Hashable]) -> bool:
    """Whether a chi-square test at 0.1 % lets the draws pass as uniform over ``over``."""
    counts = Counter(drawn)
    assert set(counts) <= over
    expected = counts.total() / len(over)
    statistic = sum((counts[item] - expected) ** 2 / expected for item in over)
    return len(over) == 1 or bool(chdtrc(len(over) - 1, statistic) > 0.001)


class TestFairness:
    @pytest.mark.parametrize("fairness", Fairness)
    def test_keys_are_whole_paths_down_to_the_level(self, fairness: Fairness) -> None:
        assert {fairness_key(path, fairness) for path in TAGS} == KEYS[fairness]

    @given(ANY_TAG, ANY_TAG)
    def test_two_tags_share_a_key_only_if_they_agree_all_the_way_down(self, one: Tag, other: Tag) -> None:
        paths = [(path.target, path.granularity, path.main, path.sub) for path in (one, other)]
        for fairness, depth in zip(Fairness, (0, 2, 3, 4), strict=True):
            agree = paths[0][:depth] == paths[1][:depth]
            assert (fairness_key(one, fairness) == fairness_key(other, fairness)) == agree

    @pytest.mark.parametrize("fairness", Fairness)
    @pytest.mark.parametrize("seed", [0, 1])
    def test_every_key_is_equally_likely_however_many_ideas_it_holds(self, fairness: Fairness, seed: int) -> None:
        random = np.random.default_rng(seed)
        keys = [fairness_key(path, fairness) for path in TAGS]
        drawn = [draw_key(keys, random) for _ in range(NUM_DRAWS)]
        assert looks_uniform(drawn, set(KEYS[fairness]))

    def test_without_fairness_every_idea_is_equally_likely(self) -> None:
        random = np.random.default_rng(0)
        drawn = [draw(range(len(TAGS)), random) for _ in range(NUM_DRAWS)]
        assert looks_uniform(drawn, set(range(len(TAGS))))

    def test_the_check_itself_sees_that_drawing_ideas_is_not_fair_over_keys(self) -> None:
        random = np.random.default_rng(0)
        drawn = [fairness_key(draw(TAGS, random), Fairness.MAIN) for _ in range(NUM_DRAWS)]
        assert not looks_uniform(drawn, set(KEYS[Fairness.MAIN]))

    @given(st.lists(ANY_TAG, min_size=1, max_size=10), st.randoms(use_true_random=False), st.integers(0, 2**32))
    def test_the_key_drawn_depends_neither_on_repetitions_nor_on_their_order(
        self, tags: list[Tag], random: Random, seed: int
    ) -> None:
        keys = [fairness_key(path, Fairness.SUB) for path in tags]
        shuffled: list[Key] = random.sample(keys * 3, len(keys) * 3)
        assert draw_key(shuffled, np.random.default_rng(seed)) == draw_key(set(keys), np.random.default_rng(seed))

    def test_nothing_cannot_be_drawn_from(self) -> None:
        with pytest.raises(ValueError, match="there is no idea to draw from"):
            draw_key([], np.random.default_rng(0))
        with pytest.raises(ValueError, match="there is nothing to draw from"):
            draw([], np.random.default_rng(0))


class TestGenerator:
    @settings(max_examples=30)
    @given(st.integers(0, 2**70), PLACES, st.text(max_size=8))
    def test_numbers_depend_on_nothing_but_the_arguments(self, seed: int, place: CandidateId, purpose: str) -> None:
        numbers = generator(seed, place, purpose).integers(2**63, size=3).tolist()
        np.random.seed(len(numbers))
        generator(seed + 1, place, purpose).random()
        assert generator(seed, place, purpose).integers(2**63, size=3).tolist() == numbers

    def test_global_randomness_is_not_consumed(self) -> None:
        np.random.seed(0)
        expected = np.random.random()
        np.random.seed(0)
        generator(0, PLACE, "idea").random()
        assert np.random.random() == expected

    @given(st.lists(st.tuples(PLACES, st.text(max_size=4)), min_size=2, max_size=8, unique=True), st.integers(0, 2**70))
    def test_places_and_purposes_draw_different_numbers(self, draws: list[tuple[CandidateId, str]], seed: int) -> None:
        numbers = {int(generator(seed, place, purpose).integers(2**63)) for place, purpose in draws}
        assert len(numbers) == len(draws)

    @given(PLACES, st.lists(st.text(max_size=4), min_size=2, max_size=6, unique=True))
    def test_purposes_of_one_place_draw_different_numbers(self, place: CandidateId, purposes: list[str]) -> None:
        numbers = {int(generator(0, place, purpose).integers(2**63)) for purpose in purposes}
        assert len(numbers) == len(purposes)

    @pytest.mark.parametrize("field", CandidateId._fields)
    def test_every_part_of_the_place_counts(self, field: str) -> None:
        moved = PLACE._replace(**{field: Stage.REFINE if field == "stage" else getattr(PLACE, field) + 1})
        assert generator(0, moved).random() != generator(0, PLACE).random()

    def test_seeds_draw_different_numbers(self) -> None:
        assert len({generator(seed, PLACE).random() for seed in (0, 1, 2**32, 2**64)}) == 4

    def test_neighbouring_places_give_uniform_numbers_together(self) -> None:
        drawn = [
            int(generator(0, CandidateId(generation, Stage.FAIR, 1, slot, 0)).integers(10))
            for generation in range(50)
            for slot in range(20)
        ]
        assert looks_uniform(drawn, set(range(10)))


class TestParents:
    @given(st.lists(st.integers(), max_size=6), st.integers(0, 12))
    def test_records_are_taken_in_turn(self, items: list[int], num_selected: int) -> None:
        turns = cycle(items, num_selected)
        assert turns == (items * 12)[:num_selected]

    def test_top_k_takes_the_most_accurate_and_breaks_ties_by_drawing(self, trained: Callable[..., Record]) -> None:
        accuracies = [0.25, 0.75, 0.5, 0.75]
        records = [trained(f"g01-fair-r1-s{slot:02d}-d0", value) for slot, value in enumerate(accuracies)]
        assert top_k(History(records), 3) == [records[1], records[3], records[2]]

    def test_fewer_trained_candidates_than_parents_are_taken_in_turn(self, trained: Callable[..., Record]) -> None:
        worse, best = trained("g01-fair-r1-s00-d0", 0.25), trained("g01-fair-r1-s01-d0", 0.5)
        history = History([trained("g00-base-r1-s00-d0", 0.9), worse, best])
        assert top_k(history, 5) == [best, worse, best, worse, best]
        assert pareto_parents(history, [Budget("params", "", 1)], 3) == [best, worse, best]

    def test_the_base_is_every_parent_while_nothing_else_is_trained(
        self, trained: Callable[..., Record], failed: Callable[..., Record]
    ) -> None:
        base = trained("g00-base-r1-s00-d0")
        history = History([base, failed("g00-initial-r1-s00-d0")])
        assert top_k(history, 2) == pareto_parents(history, [Budget("params", "", 1)], 2) == [base, base]

    def test_there_are_no_parents_before_anything_is_trained(self, failed: Callable[..., Record]) -> None:
        history = History([failed()])
        assert top_k(history, 4) == pareto_parents(history, [Budget("params", "", 1)], 4) == []

    def test_a_small_but_less_accurate_candidate_is_a_pareto_parent(self, trained: Callable[..., Record]) -> None:
        big = trained("g01-fair-r1-s00-d0", 0.75, costs={"params": 100})
        wasteful = trained("g01-fair-r1-s01-d0", 0.7, costs={"params": 200})
        small = trained("g01-fair-r1-s02-d0", 0.5, costs={"params": 1})
        history = History([big, wasteful, small])
        assert pareto_parents(history, [Budget("params", "", 1)], 2) == [big, small]
        assert top_k(history, 2) == [big, wasteful]

    def test_pareto_parents_that_are_equally_lonely_keep_the_order_of_drawing(
        self, trained: Callable[..., Record]
    ) -> None:
        small = trained("g01-fair-r1-s00-d0", 0.5, costs={"params": 1})
        big = trained("g01-fair-r1-s01-d0", 0.75, costs={"params": 100})
        assert pareto_parents(History([big, small]), [Budget("params", "", 1)], 2) == [small, big]

    def test_budgets_that_are_not_limited_are_not_looked_at(self, trained: Callable[..., Record]) -> None:
        costs = [{"params": 1.0, "flops": 9.0}, {"params": 2.0, "flops": 1.0}]
        records = [trained(f"g01-fair-r1-s{slot:02d}-d0", 0.5, costs=cost) for slot, cost in enumerate(costs)]
        assert pareto_parents(History(records), [Budget("params", "", 1)], 1) == [records[0]]
        assert pareto_parents(History(records), [Budget("flops", "", 1)], 1) == [records[1]]

    @given(st.integers(1, 4), st.integers(1, 8), st.data())
    def test_no_pareto_parent_is_dominated_by_a_candidate_left_out(
        self, trained: Callable[..., Record], num_budgets: int, num_selected: int, data: st.DataObject
    ) -> None:
        budgets = [Budget(f"cost {i}", "", 1) for i in range(num_budgets)]
        rows = data.draw(st.lists(st.lists(st.integers(0, 3), min_size=num_budgets + 1, max_size=num_budgets + 1)))
        records = [
            trained(
                f"g01-fair-r1-s{slot:02d}-d0",
                row[0] / 4,
                costs={budget.name: cost for budget, cost in zip(budgets, row[1:], strict=True)},
            )
            for slot, row in enumerate(rows)
        ]
        objectives = {record.candidate_id: (-row[0], *row[1:]) for record, row in zip(records, rows, strict=True)}
        chosen = [record.candidate_id for record in pareto_parents(History(records), budgets, num_selected)]
        assert len(chosen) == (num_selected if rows else 0)
        assert len(set(chosen)) == min(num_selected, len(rows))
        for left_out in set(objectives) - set(chosen):
            for parent in chosen:
                one, other = objectives[left_out], objectives[parent]
                assert one == other or any(a > b for a, b in zip(one, other, strict=True))
