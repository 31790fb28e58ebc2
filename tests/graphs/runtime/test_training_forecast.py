"""How long a search will take, what it trains stage by stage, and what it asks of a language model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairnad.domain.budget import Budget
from fairnad.domain.recipe import RECIPES
from fairnad.records.candidate import Stage
from fairnad.records.history import History
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.search_settings import AgentSettings, RunContext, SearchSettings
from graphs.cli.plan.call_estimate import CHARACTERS_A_TOKEN, estimate_calls
from graphs.cli.plan.schedule import by_stage, legs, remaining, stage_starts
from graphs.runtime.idea_base import load_ideas
from graphs.runtime.training_forecast import forecast
from prompts.loader import load_pack
from tests.graphs.conftest import made_records

BUDGETS = [Budget("params", "parameters", 45_000.0), Budget("flops", "multiply-adds an image", 1_819_840.0)]
CONTEXT = RunContext(archs=32)
BASE = made_records()[0]
ALONE = [RECIPES["nasbench201-12"]]


def test_the_base_tells_how_long_all_others_take():
    ahead = forecast(CONTEXT, BUDGETS, History([BASE]), num_slots=2, recipes=ALONE)
    assert (ahead.num_trainings, ahead.num_retrainings, ahead.num_slots) == (44, 12, 2)
    assert (ahead.seconds, ahead.most_seconds) == (22 * 12.5, 22 * 12.5 * 4)
    assert str(ahead) == "about 5 min for 44 trainings on 2 slots, up to 18 min at the limits"


def test_each_stage_begins_when_those_before_it_are_full():
    assert stage_starts(SearchSettings()) == {"initial": 0, "fair": 8, "pareto": 16, "refine": 24}
    assert stage_starts(SearchSettings(initial=0, pareto=0)) == {"fair": 0, "refine": 8}


def test_promotions_count_by_the_length_of_their_recipe():
    recipes = [RECIPES["nasbench201-12"], replace(RECIPES["nasbench201"], num_epochs=120)]
    ahead = forecast(CONTEXT, BUDGETS, History([BASE]), 1, recipes)
    assert (ahead.num_trainings, ahead.num_retrainings) == (32 + 8 + 12, 8 + 12)
    assert ahead.seconds == (32 + 10 * (8 + 12)) * 12.5


def test_what_has_trained_counts_no_more_and_a_slot_more_is_a_turn_less():
    records = made_records()
    assert forecast(CONTEXT, BUDGETS, History(records), 1, ALONE).num_trainings == 42
    assert forecast(CONTEXT, BUDGETS, History(records), 5, ALONE).seconds == 9 * 12.5


def test_a_base_at_its_limits_leaves_no_room_to_grow():
    tight = [replace(budget, limit=100.0) for budget in BUDGETS]
    ahead = forecast(RunContext(archs=1, search=SearchSettings(confirm_seeds=0)), tight, History([BASE]), 1, ALONE)
    assert ahead.seconds == ahead.most_seconds
    assert str(ahead) == "about 12 s for 1 training on 1 slot"


def test_without_a_limit_on_flops_the_widest_room_counts():
    other = [Budget("params", "parameters", 113_740.0)]
    assert forecast(CONTEXT, other, History([BASE]), 2, ALONE).most_each == 125
    assert forecast(CONTEXT, [], History([BASE]), 2, ALONE).most_each == 12.5


def test_there_is_no_forecast_before_the_base_and_after_the_last():
    assert forecast(CONTEXT, BUDGETS, History(), 2, ALONE) is None
    assert forecast(RunContext(archs=2), BUDGETS, History(made_records()), 2, ALONE) is None


def test_the_stages_follow_each_other_and_the_last_is_cut_short():
    assert [tuple(leg) for leg in legs(SearchSettings(), 45)] == [
        (0, Stage.INITIAL, 8),
        (1, Stage.FAIR, 8),
        (1, Stage.PARETO, 8),
        (1, Stage.REFINE, 8),
        (2, Stage.FAIR, 8),
        (2, Stage.PARETO, 5),
    ]
    assert by_stage(legs(SearchSettings(), 45))[Stage.FAIR] == 16
    only_refined = SearchSettings(initial=0, fair=0, pareto=0, refine=2, refine_rounds=3)
    assert [tuple(leg) for leg in legs(only_refined, 7)] == [(1, Stage.REFINE, 6), (2, Stage.REFINE, 1)]


def test_a_stage_that_is_partly_done_is_gone_on_with():
    assert [tuple(leg) for leg in remaining(SearchSettings(), 20, 11)] == [(1, Stage.FAIR, 5), (1, Stage.PARETO, 4)]
    assert remaining(SearchSettings(), 20, 20) == []


@pytest.fixture(scope="module")
def pack():
    return load_pack("vision")


def estimates(pack, **settings):
    context = RunContext(archs=24, llm=LanguageModelSettings(model="m", max_tokens=1000), **settings)
    trained = {Stage.INITIAL: 8, Stage.FAIR: 8, Stage.REFINE: 8}
    made = estimate_calls(context, pack, "x" * 300, load_ideas(context, pack), trained, base_is_over=False)
    return {estimate.role: estimate for estimate in made}


def test_the_fewest_and_the_most_calls_of_each_role(pack):
    paper = estimates(pack, agents={"mode": "paper"})
    found = {role: (one.least_calls, one.most_calls) for role, one in paper.items()}
    assert found == {
        "mutator": (16, 64),
        "idea_mutator": (8, 32),
        "debugger": (0, 192),
        "downscaler": (0, 384),
        "structural_judge": (24, 96),
    }


def test_the_default_mix_asks_for_one_reduction_a_draw_and_for_no_verdict(pack):
    found = {role: one.most_calls for role, one in estimates(pack).items()}
    assert found == {"mutator": 64, "idea_mutator": 32, "debugger": 192, "downscaler": 96}


def test_what_is_switched_off_or_built_in_is_not_asked(pack):
    search = SearchSettings(ablate=("debug", "judge"), max_draws=1)
    found = estimates(pack, search=search, agents={"downscaler": "builtin"})
    assert {role: one.most_calls for role, one in found.items()} == {"mutator": 16, "idea_mutator": 8}
    context = RunContext(archs=1)
    assert estimate_calls(context, pack, "", load_ideas(context, pack), {Stage.FAIR: 1}, base_is_over=True) == []


def test_a_base_over_its_limits_is_downscaled_at_least_once(pack):
    context = RunContext(agents=AgentSettings(mode="paper"), llm=LanguageModelSettings(model="m"))
    made = estimate_calls(context, pack, "x", load_ideas(context, pack), {Stage.FAIR: 1}, base_is_over=True)
    (one,) = [estimate for estimate in made if estimate.role == "downscaler"]
    assert (one.least_calls, one.most_calls) == (1, 4 * 4 + 4)


def test_each_role_writes_as_much_as_the_model_that_plays_it(pack):
    models = [{"model": "a", "max_tokens": 500}, {"model": "b", "max_tokens": 2000, "roles": ("debugger",)}]
    context = RunContext(archs=1, llm=LanguageModelSettings.model_validate({"models": models}))
    made = estimate_calls(context, pack, "x", load_ideas(context, pack), {Stage.FAIR: 1}, base_is_over=False)
    a_reply = {one.role: one.most_output_tokens / one.most_calls for one in made}
    assert a_reply == {"mutator": 500, "debugger": 2000, "downscaler": 500}


def test_tokens_follow_the_prompts_and_the_limit_of_a_reply(pack):
    found = estimates(pack)
    mutator = found["mutator"]
    assert mutator.least_output_tokens == 16 * 300 / CHARACTERS_A_TOKEN
    assert mutator.most_output_tokens == 64 * 1000
    idea = max(load_ideas(RunContext(), pack), key=lambda idea: len(idea.text))
    prompt = pack.messages("mutation", idea=pack.format_idea(idea, "new module"), parent="x" * 300)
    characters = sum(len(text) for _, text in prompt)
    assert mutator.least_input_tokens == 16 * -(-characters // CHARACTERS_A_TOKEN)
    assert mutator.most_input_tokens == 64 * -(-(characters - 300 + 3000) // CHARACTERS_A_TOKEN)
    for one in found.values():
        assert one.least_input_tokens <= one.most_input_tokens
        assert one.least_output_tokens <= one.most_output_tokens
