"""The contract of every objective, and of whatever compares candidates: only the objective knows the direction."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fairnad.domain.budget import Budget
from fairnad.domain.objective import ACCURACY, OBJECTIVES, Objective
from fairnad.domain.recipe import RECIPES
from fairnad.domain.task import TaskDefaults
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import BASE_ID, Evaluation
from fairnad.records.history import History, Record, better
from fairnad.records.lineage import gain
from fairnad.records.spending import yield_of
from fairnad.search.finals import Finalist, Finals, winner_of
from fairnad.search.promotion import Rung
from fairnad.search.refinement import find_entry
from fairnad.search.sampling import pareto_parents, top_k


class BitsPerByte(Objective):
    """A lower-is-better objective: minus the base-2 logarithm of the probability of the target."""

    def score_examples(self, outputs, targets):
        return -np.log2(outputs[np.arange(len(targets)), targets], dtype=np.float64)


LOWER = BitsPerByte("bits per byte", unit="bits", higher_is_better=False)


@pytest.fixture(params=[*OBJECTIVES.values(), LOWER], ids=lambda objective: objective.name)
def objective(request, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, request.param.name, request.param)
    return request.param


def values(objective):
    """A bad, a middling and a good value."""
    return (0.25, 0.5, 0.75) if objective.higher_is_better else (0.75, 0.5, 0.25)


def search(objective):
    """A base, then a bad, a good and a middling candidate, each made from the one before."""
    low, middle, high = values(objective)

    def record(candidate_id, parent_id, value):
        evaluation = Evaluation(value, "recipe", {"params": 1.0}, candidate_id, metric=objective.name)
        return Record(candidate_id, parent_id, Idea("", IdeaKind.NONE), "", evaluation)

    ids = ["g01-refine-r1-s00-d0", "g01-refine-r2-s00-d0", "g01-refine-r3-s00-d0"]
    found = zip(ids, [BASE_ID, *ids], [low, high, middle], strict=False)
    return History([record(BASE_ID, "", middle), *(record(*one) for one in found)])


def test_order_gain_and_sort_key_agree(objective):
    low, middle, high = values(objective)
    assert objective.is_better(high, middle) and not objective.is_better(middle, high)
    assert not objective.is_better(middle, middle)
    assert objective.gain(high, middle) == 0.25 and objective.gain(low, middle) == -0.25
    assert objective.relative_gain(high, middle) == 0.5 and objective.relative_gain(high, 0.0) == 0.0
    assert objective.best([middle, high, low]) == high
    assert sorted([middle, math.nan, high, low], key=objective.sort_key)[:3] == [high, middle, low]
    assert objective.format_gain(objective.gain(high, middle)).startswith("+")


def test_scores_are_per_example_and_aggregate_to_one_value(objective):
    outputs, targets = np.array([[0.5, 0.25], [0.125, 0.5]], np.float32), np.array([0, 0])
    scores = objective.score_examples(outputs, targets)
    assert scores.shape == (2,) and isinstance(objective.aggregate(scores), float)
    first, second = (objective.aggregate(objective.score_examples(outputs[[i]], targets[[i]])) for i in range(2))
    assert objective.is_better(first, second)


def test_the_search_prefers_the_better_value(objective):
    history = search(objective)
    bad, good, middling = history.trained
    assert history.objective is objective and history.best is good
    assert history.ranking == (good, middling, bad) and top_k(history, 1) == [good]
    assert pareto_parents(history, [Budget("params", "parameters", 2.0)], 3)[0] is good
    assert better(good, bad) and not better(bad, good) and not better(good, good)
    assert gain(history, good) == 0.5 and gain(history, middling) == -0.25
    assert find_entry(history, good.candidate_id).improved
    assert not find_entry(history, middling.candidate_id).improved
    assert yield_of(history).points == 0.25 * objective.scale


def test_promotion_and_finals_prefer_the_better_value(objective):
    low, middle, high = values(objective)
    history = search(objective)
    evaluations = {record.candidate_id: record.evaluation for record in history.trained}
    recipe = RECIPES["quick"]
    evaluations = {name: replace(one, recipe_digest=recipe.digest) for name, one in evaluations.items()}
    assert Rung(recipe, evaluations).ranking == tuple(record.candidate_id for record in history.ranking)
    good, base = Finalist("good", {1: high, 2: middle, 3: high}), Finalist("base", dict.fromkeys((1, 2, 3), middle))
    finalists = (Finalist("bad", {1: low, 2: low, 3: low}), good, base)
    assert winner_of(finalists, "base", objective) is good
    finals = Finals(0, "quick", "recipe", "base", "good", finalists, metric=objective.name)
    assert finals.best_seed == 1 and finals.comparison.difference.mean > 0


def test_candidates_of_several_objectives_are_not_ranked(monkeypatch):
    monkeypatch.setitem(OBJECTIVES, LOWER.name, LOWER)
    with pytest.raises(ValueError, match="several objectives: accuracy, bits per byte"):
        _ = History([search(ACCURACY).records[0], *search(LOWER).trained]).ranking


def test_a_row_of_outputs_with_a_nan_is_wrong():
    logits = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, 0.0], [0.0, np.nan], [np.inf, 0.0]], np.float32)
    assert ACCURACY.aggregate(ACCURACY.score_examples(logits, np.array([1, 1, 0, 1, 0]))) == 2 / 5


def test_a_task_names_an_objective_that_exists():
    with pytest.raises(ValueError, match="expected an objective among accuracy, found 'beauty'"):
        TaskDefaults("small", "quick", 1, 1, 8, 0, 0, 0.0, 0, objective="beauty")
