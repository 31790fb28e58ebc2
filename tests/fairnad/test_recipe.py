from __future__ import annotations

import dataclasses
import re
from dataclasses import replace
from typing import Any

import pytest

from fairnad.recipe import RECIPES, Recipe

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
