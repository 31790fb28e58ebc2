from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from typing import Any

import pytest

from fairnad.domain.recipe import RECIPES, Recipe

RECIPE = Recipe("some recipe", num_epochs=10, batch_size=64, learning_rate=0.1)
FIELDS = [field.name for field in dataclasses.fields(Recipe)]


def another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + "x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("name", FIELDS)
def test_the_digest_changes_with_every_field(name: str) -> None:
    changed = replace(RECIPE, **{name: another(getattr(RECIPE, name))})
    assert changed.digest != RECIPE.digest


def test_no_two_single_changes_share_a_digest() -> None:
    changed = [replace(RECIPE, **{name: another(getattr(RECIPE, name))}) for name in FIELDS]
    assert len({recipe.digest for recipe in [RECIPE, *changed]}) == len(FIELDS) + 1


def test_the_digest_is_twelve_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{12}", RECIPE.digest)


def test_fields_that_came_later_left_older_digests_alone() -> None:
    assert RECIPE.digest == "633bdd1cc963"


@pytest.mark.parametrize(
    ("train_loss", "hopeless"),
    [
        ([2.4, 2.31, 2.29], False),  # too early to say
        ([2.4, 2.31, 2.29, 2.3], True),
        ([2.4, 2.31, 2.2, 2.4], False),  # once was enough
        ([2.3] * 9, True),
        ([2.3] * 10, False),  # it is over anyway
    ],
)
def test_a_training_is_hopeless_that_does_not_leave_guessing_behind(train_loss: list[float], hopeless: bool) -> None:
    assert replace(RECIPE, hopeless_after=4).is_hopeless(train_loss, num_classes=10) == hopeless
    assert not RECIPE.is_hopeless(train_loss, num_classes=10)


def test_only_quick_trainings_are_given_up() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.hopeless_after} == {"quick"}


def test_equal_recipes_have_equal_digests() -> None:
    whole, decimal = replace(RECIPE, flip_probability=0), replace(RECIPE, flip_probability=0.0)
    assert whole == decimal
    assert whole.digest == decimal.digest


def test_the_recipe_of_the_benchmark_is_the_papers() -> None:
    assert RECIPES["nasbench201"] == Recipe(
        name="nasbench201",
        num_epochs=200,
        batch_size=256,
        learning_rate=0.1,
        final_learning_rate=0.0,
        warmup_epochs=0,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.0005,
        label_smoothing=0.0,
        flip_probability=0.5,
        crop_padding=4,
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_found_under_its_own_name(name: str) -> None:
    assert RECIPES[name].name == name
