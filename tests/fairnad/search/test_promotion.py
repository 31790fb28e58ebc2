from dataclasses import replace

import pytest

from fairnad.domain.recipe import RECIPES
from fairnad.records.candidate import Evaluation
from fairnad.search.promotion import Rung, promoted

RECIPE = RECIPES["quick"]


def evaluations(recipe=RECIPE, **accuracies):
    return {name: Evaluation(accuracy, recipe.digest, {}, name) for name, accuracy in accuracies.items()}


def test_a_rung_ranks_by_accuracy_and_ties_stay_in_order():
    assert Rung(RECIPE, evaluations(a=0.5, b=0.7, c=0.5, d=0.9)).ranking == ("d", "b", "a", "c")


def test_accuracies_of_two_recipes_never_stand_on_one_rung():
    mixed = evaluations(a=0.5) | evaluations(replace(RECIPE, num_epochs=3), b=0.6)
    with pytest.raises(ValueError, match=r"b was trained by recipe .*, the rung is of quick"):
        Rung(RECIPE, mixed)


@pytest.mark.parametrize(
    ("num_ranked", "one_in", "least", "expected"),
    [(100, 4, 3, 25), (25, 4, 3, 7), (7, 4, 3, 3), (2, 4, 3, 2), (9, 2, 1, 5), (0, 4, 3, 0)],
)
def test_one_in_so_many_is_promoted_and_never_fewer_than_there_are_finalists(num_ranked, one_in, least, expected):
    ranking = [str(number) for number in range(num_ranked)]
    assert promoted(ranking, one_in, least) == tuple(ranking[:expected])


def test_the_screening_recipe_is_the_papers_schedule_in_fewer_epochs():
    screening, full = RECIPES["nasbench201-12"], RECIPES["nasbench201"]
    assert replace(screening, name=full.name, num_epochs=full.num_epochs) == full
    assert screening.num_epochs == 12
