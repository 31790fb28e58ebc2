"""Which form a mutation is written in."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import Call
from fairnad.records.draw_decisions import DrawDecisions
from fairnad.records.history import History, Record
from fairnad.search.edit_format_choice import EDIT_FORMATS, asked_format, choose_format, fitting_formats

Build = Callable[..., Record]
BLOCK_IDEA = Idea("Gate it.", tag=Tag(Target.PERFORMANCE, Granularity.BLOCK, "gates"))
NETWORK_IDEA = Idea("Reorder it.", tag=Tag(Target.PERFORMANCE, Granularity.NETWORK, "order"))


PROMPTS = {"full": "mutation", "edit": "mutation_edit", "module": "mutation_module"}


def drawn(build: Build, number: int, form: str, *, model: str = "", tokens: int = 400, asked: str = "") -> Record:
    call = Call(PROMPTS[asked or form], model, 1000, tokens, 1.0, True)
    choices = DrawDecisions(model=model, form=form)
    return build(f"g01-fair-r1-s{number:02d}-d0", choices=choices, calls=(call,))


def chosen(history: History, model: str = "", num_draws: int = 200) -> Counter[str]:
    return Counter(
        choose_format(history, model, EDIT_FORMATS, np.random.default_rng(seed)) for seed in range(num_draws)
    )


@pytest.mark.parametrize(
    ("idea", "forms"),
    [
        (BLOCK_IDEA, EDIT_FORMATS),
        (NETWORK_IDEA, ("full",)),
        (Idea("Widen it.", IdeaKind.UPSCALE), ("full", "edit")),
        (Idea("Change a kernel.", IdeaKind.HYPERPARAMETER), ("full", "edit")),
        (Idea("", IdeaKind.MUTATED), ("full", "edit")),
    ],
)
def test_an_idea_is_carried_out_in_a_format_that_fits_it(idea: Idea, forms: tuple[str, ...]) -> None:
    assert fitting_formats(idea) == forms
    assert choose_format(History(), "", forms, np.random.default_rng(0)) in forms


def test_before_anything_is_known_modules_come_first_and_every_form_is_tried() -> None:
    counts = chosen(History())
    assert counts["module"] > counts["edit"] > counts["full"] > 0


@pytest.mark.parametrize("best", EDIT_FORMATS)
def test_the_form_that_passes_is_taken_more_and_more(trained: Build, failed: Build, best: str) -> None:
    records = [
        drawn(trained if form == best else failed, 30 * i + n, form)
        for i, form in enumerate(EDIT_FORMATS)
        for n in range(30)
    ]
    assert chosen(History(records))[best] > 190


def test_of_two_forms_that_pass_alike_the_one_that_writes_less_is_taken(trained: Build, failed: Build) -> None:
    records = [drawn(trained, n, "full", tokens=2000) for n in range(30)]
    records += [drawn(trained, 30 + n, "edit", tokens=200) for n in range(30)]
    records += [drawn(failed, 60 + n, "module", tokens=200) for n in range(30)]
    assert chosen(History(records))["edit"] > 190


def test_what_one_model_does_says_nothing_of_another(failed: Build) -> None:
    records = [drawn(failed, n, "module", model="small") for n in range(40)]
    assert chosen(History(records), model="large") == chosen(History(), model="large")
    assert chosen(History(records), model="small")["module"] < 20


def test_a_draw_counts_for_the_form_that_was_asked_for_whatever_was_chosen(trained: Build, failed: Build) -> None:
    fell_back = [drawn(trained, n, "module", asked="edit") for n in range(30)]
    assert {asked_format(record) for record in fell_back} == {"edit"}
    others = [drawn(failed, 30 + n, form) for n, form in enumerate(["module"] * 30 + ["full"] * 30)]
    assert chosen(History([*fell_back, *others]))["edit"] > 190
    nobody = [replace(record, calls=()) for record in fell_back]
    assert chosen(History(nobody)) == chosen(History()), "the built-in designer alone says nothing of a form"
    chain = Call("idea_mutation_edit", "", 1000, 100, 1.0, True)
    assert asked_format(replace(fell_back[0], calls=(chain,))) == "edit"


def test_what_the_built_in_designer_carried_out_in_its_stead_is_no_success_of_a_form(trained: Build) -> None:
    rescued = [replace(drawn(trained, n, "module"), note="built-in: a gate") for n in range(30)]
    assert chosen(History(rescued))["module"] < 20
    assert chosen(History([replace(record, note="small: a gate") for record in rescued]))["module"] > 190
