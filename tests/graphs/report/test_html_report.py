"""The report of a run, from histories made by hand."""

import resource
import time
from dataclasses import replace

import pytest

from fairnad.errors import StorageError
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from fairnad.records.candidate import Call, Evaluation, Failure, FailureKind, Finding, Stage, Step
from fairnad.records.history import History, Record, Repair
from fairnad.records.lineage import lineage
from fairnad.settings.search_settings import RunContext
from graphs.report import html_report as report
from tests.graphs.report.histories import (
    BASE,
    BASE_ID,
    BUDGETS,
    CHAIN,
    CHEAP,
    FIRST,
    GATES,
    SECOND,
    SKIPS,
    THIRD,
    Page,
    contents,
    failed,
    finals_of,
    place,
    trained,
)


@pytest.fixture
def page(tmp_path):
    """Writes a report and reads it back."""

    def write(records=(), finals=None, **settings):
        context = RunContext(**{"task": "digits", "seed": 3, "archs": 4, **settings})
        path = report.write_report(tmp_path, context, BUDGETS, History(records), finals)
        assert path == tmp_path / "report.html"
        return Page(path.read_text(encoding="utf-8"))

    return write


def test_base_and_best_stand_side_by_side_with_costs_and_both_kinds_of_accuracy(page):
    text = page(CHAIN, finals_of(THIRD)).text
    assert "Task digits, seed 3. Designed by: all roles built in" in text
    assert "3 of 4 candidates trained, 3 drawn; pass rate 1.00 (n=3), strict 1.00 (n=3)" in text
    assert f"base best, winner candidate {BASE_ID} {THIRD}" in text
    assert "params at most 2k 1k 50% of the limit 1k 50% of the limit" in text
    assert "flops at most 10k 5k 50% of the limit" in text
    assert "validation accuracy in the search 0.5000 0.7000" in text
    fresh = "validation accuracy fresh seeds, mean ± s.d. 0.5100 ± 0.0141 (n=2) 0.6800 ± 0.0100 (n=3)"
    assert fresh in text
    assert "held-out accuracy fresh seeds, mean ± s.d. 0.4100 ± 0.0141 (n=2) 0.6600 ± 0.0100 (n=3)" in text
    assert "selected for its validation accuracy, the highest of 3 trained, so that number is optimistic" in text
    assert "Winner and base alone were then shown images that took no part in the search." in text


def test_a_winner_that_is_not_the_best_of_the_search_has_a_column_and_the_lineage(page):
    text = page(CHAIN, finals_of(SECOND)).text
    assert f"base best winner candidate {BASE_ID} {THIRD} {SECOND}" in text
    assert "held-out accuracy fresh seeds, mean ± s.d. 0.4100 ± 0.0141 (n=2) – 0.6600 ± 0.0100 (n=3)" in text
    lineage = text[text.index("Lineage of the winner") : text.index("Stages stage")]
    assert SECOND in lineage and THIRD not in lineage


def test_finals_no_finalist_wins_say_so(page):
    text = page(CHAIN, finals_of(THIRD, winner_id=BASE_ID)).text
    assert "No finalist has a better mean validation accuracy than the base: it is the result." in text
    assert f"base, winner best candidate {BASE_ID} {THIRD}" in text


def test_a_base_that_was_widened_is_the_control(page):
    text = page(CHAIN, replace(finals_of(THIRD), control_id=BASE_ID)).text
    assert f"control best, winner candidate {BASE_ID} {THIRD}" in text
    assert "The winner is ahead of the control by" in text or "The winner is within the noise of the control" in text
    assert "The control is the base widened to the limits before the search" in text


def test_a_test_split_that_stays_shut_is_told(page):
    shut = tuple(replace(one, held_out={}) for one in finals_of(THIRD).finalists)
    text = page(CHAIN, replace(finals_of(THIRD), finalists=shut)).text
    assert "The task’s test images were not opened." in text
    assert "held-out accuracy fresh seeds, mean ± s.d. – –" in text


def test_before_the_end_the_finals_are_announced_not_made_up(page):
    text = page(CHAIN).text
    assert "held-out accuracy" not in text
    assert "Finals with fresh seeds are held when the search ends." in text


def test_a_search_without_fresh_seeds_promises_no_finals(page):
    text = page(CHAIN, search={"confirm_seeds": 0}).text
    assert "Finals were not asked for (--search.confirm-seeds 0)." in text
    assert "are held when" not in text


def test_the_lineage_leads_from_the_base_to_the_best_with_each_gain(page):
    text = page(CHAIN).text
    start = text.index("Lineage of the best")
    places = [text.index(part, start) for part in ("0.4500 −0.0500", "0.6000 +0.1500", "0.7000 +0.1000", "Stages")]
    assert places == sorted(places)
    assert f"the idea of {FIRST} knowledge idea · {SKIPS}" in text[start : places[-1]]


def test_what_was_done_comes_before_the_idea(page):
    idea = Idea("Add a gate.", tag=GATES)
    text = page([BASE, trained(FIRST, 0.6, BASE_ID, idea=idea, note="a gate behind every block")]).text
    assert f"{FIRST} 0.6000 +0.1000 a gate behind every block Idea: Add a gate. knowledge idea" in text
    assert "0.6000 0 0 a gate behind every block Idea: Add a gate. source of" in text


def test_an_idea_names_what_it_goes_back_to(page):
    idea = Idea("Add a gate.", tag=GATES, source=Source("Squeeze and Excite", 2018))
    assert "· after “Squeeze and Excite” (2018)" in page([BASE, trained(FIRST, 0.6, BASE_ID, idea=idea)]).text


def test_every_link_leads_somewhere_and_every_anchor_is_there_once(page):
    links = page([*CHAIN, failed(place(Stage.FAIR, 1), "g09-fair-r1-s09-d0")], finals_of(THIRD))
    ids = [name for name in links.values("id") if not name.startswith("mark-")]
    assert sorted(ids) == sorted([*(record.candidate_id for record in CHAIN), place(Stage.FAIR, 1)])
    targets = {target.removeprefix("#") for target in links.values("href")}
    assert targets <= set(links.values("id"))
    assert {BASE_ID, THIRD} <= targets


def test_the_page_asks_for_nothing_from_outside_and_runs_no_script(page):
    sealed = page(CHAIN)
    assert "default-src 'none'; style-src 'unsafe-inline'" in sealed.values("content")
    assert not {tag for tag, _ in sealed.tags} & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert not sealed.values("src")
    assert all(target.startswith("#") for target in sealed.values("href"))


def test_what_a_language_model_wrote_is_shown_and_never_obeyed(page):
    attack = "</pre></details><script>alert(1)</script><img src=x onerror='alert(2)'>\"'>&lt;{{ 7 * 7 }}"
    tag = Tag(Target.PERFORMANCE, Granularity.BLOCK, attack, attack)
    idea = Idea(attack, tag=tag, source=Source(attack, 2020, f"javascript:{attack}"))
    call = Call(attack, attack, 1, 1, 1.0, ok=True)
    best = trained(FIRST, 0.9, BASE_ID, idea=idea, calls=(call,))
    worse = Record(SECOND, attack, idea, attack, failure=Failure(Step.EXECUTE, FailureKind.CRASH, attack, attack))
    hostile = page([BASE, best, worse], run="run", llm={"model": attack})
    assert not {tag for tag, _ in hostile.tags} & {"script", "img"}
    assert not [name for _, attributes in hostile.tags for name in attributes if name.startswith("on")]
    assert hostile.text.count(attack) >= 10
    assert all(target.startswith("#") for target in hostile.values("href"))


def test_text_without_a_utf_8_form_is_escaped_not_fatal(page):
    idea = Idea("half a \ud83d pair", tag=GATES)
    assert r"half a \ud83d pair" in page([BASE, trained(FIRST, 0.6, BASE_ID, idea=idea)]).text


def test_a_run_without_records_says_so(page):
    empty = page()
    assert "Nothing has trained yet." in empty.text
    assert "0 of 4 candidates trained, 0 drawn; pass rate - (n=0)" in empty.text
    assert "chart" not in empty.values("class")


def test_a_base_that_failed_is_listed_with_its_reason(page):
    text = page([failed(BASE_ID, step=Step.DOWNSCALE, kind=FailureKind.BUDGET)]).text
    assert "Nothing has trained yet." in text
    assert f"message of {BASE_ID}" in text


def test_a_base_alone_is_no_best(page):
    alone = page([BASE])
    assert "No candidate has trained yet." in alone.text
    assert "Lineage of the best" not in alone.text
    assert alone.values("class").count("chart") == 3


def test_draws_that_all_failed_leave_the_base(page):
    failures = [failed(place(Stage.INITIAL, draw=draw), BASE_ID) for draw in range(3)]
    text = page([BASE, *failures], search={"max_stalled_draws": 3}).text
    assert "The search ended early: no candidate trained in the last 3 draws." in text
    assert "The commonest failure is execute: shape (3 of 3 draws)." in text
    assert "ended early" not in page([BASE, *failures[:2]], search={"max_stalled_draws": 3}).text


def test_stages_tell_draws_pass_rate_best_and_what_they_added(page):
    records = [*CHAIN, failed(place(Stage.FAIR, 1)), trained(place(Stage.FAIR, 2), 0.55)]
    text = page(records).text
    assert "initial 1 1 1.00 (n=1) 0.4500 +0.0000" in text
    assert "fair 3 2 0.67 (n=3) 0.6000 +0.1000" in text
    assert "pareto 1 1 1.00 (n=1) 0.7000 +0.1000" in text


def test_the_stages_gains_add_up_to_the_way_from_the_base_to_the_best():
    later = trained(place(Stage.FAIR, generation=2), 0.8, THIRD)
    gains = report.raised(History([*CHAIN, later]))
    assert gains[Stage.FAIR] == pytest.approx(0.2)
    assert sum(gains.values()) == pytest.approx(0.8 - 0.5)


def test_main_categories_are_ranked_by_mean_gain_with_its_n():
    records = [
        BASE,
        trained(place(Stage.INITIAL, 0), 0.6, BASE_ID, GATES),
        trained(place(Stage.INITIAL, 1), 0.5, BASE_ID, GATES),
        failed(place(Stage.INITIAL, 2), BASE_ID, tag=GATES),
        trained(place(Stage.INITIAL, 3), 0.9, BASE_ID, SKIPS),
        failed(place(Stage.INITIAL, 4), BASE_ID, tag=CHEAP),
        trained(place(Stage.PARETO, 0), 0.1, BASE_ID),
        trained(place(Stage.REFINE, 0), 0.1, BASE_ID, idea=Idea("mutated", IdeaKind.MUTATED, SKIPS)),
    ]
    results = report.categories(History(records))
    assert [result.category for result in results] == [SKIPS.category, GATES.category, CHEAP.category]
    assert [(one.num_drawn, one.num_trained, one.num_improved) for one in results] == [(1, 1, 1), (3, 2, 1), (1, 0, 0)]
    assert [one.mean_gain for one in results] == [pytest.approx(0.4), pytest.approx(0.05), None]
    assert [len(one.gains) for one in results] == [1, 2, 0]


def test_failures_are_counted_by_step_and_kind_with_the_first_message(page):
    shapes = [failed(place(Stage.FAIR, slot)) for slot in range(2)]
    records = [BASE, failed(FIRST, step=Step.MUTATE, kind=FailureKind.REPLY), *shapes]
    text = page(records).text
    assert f"execute: shape 2 message of {shapes[0].candidate_id} {shapes[0].candidate_id}" in text
    assert f"mutate: reply 1 message of {FIRST}" in text
    assert text.index("execute: shape 2") < text.index("mutate: reply 1")


def test_what_was_mended_is_told_by_kind_with_calls_by_model_also_where_nothing_failed(page):
    calls = (Call("mutator", "small", 500, 100, 9.0, ok=True), Call("mutator", "large", 700, 80, 9.0, ok=False))
    mended = trained(FIRST, 0.6, calls=calls, num_debugs=1, repairs=(Repair(FailureKind.SHAPE, 1, True, 1),))
    text = page([BASE, mended]).text
    assert "execute: shape shape mismatch 1 1 0" in text
    assert "Pass rate 1.00 (n=1)" in text
    assert "incomplete generation 0, component hallucination 0, shape mismatch 1, downscaling failure 0" in text
    assert "mutator large 1 1 700 80 mutator small 1 0 500 100" in text
    assert "the first of them" not in text


def test_findings_are_listed_with_their_candidates_and_left_out_where_there_are_none(page):
    record = trained(FIRST, 0.6)
    found = (
        Finding(FailureKind.BATCH_LEAKAGE, "3 of 50 images off"),
        Finding(FailureKind.INTEGRITY, "no gradient reaches <b>", is_fault=False),
    )
    told = replace(record, evaluation=replace(record.evaluation, findings=found))
    text = page([BASE, told]).text
    assert f"batch leakage {FIRST} 3 of 50 images off" in text
    assert f"integrity {FIRST} no gradient reaches <b>" in text
    assert "Findings" not in page(CHAIN).text


def test_calls_are_summed_by_role_and_left_out_where_there_are_none(page):
    calls = (
        Call("idea_mutator", "m", 1000, 200, 30.0, ok=True, usd=0.25),
        Call("mutator", "m", 500, 100, 90.0, ok=False),
    )
    text = page([BASE, trained(FIRST, 0.6, calls=calls), failed(SECOND, calls=calls[:1])]).text
    assert "idea mutator 2 0 2k 400 1m00s 0.5000" in text
    assert "mutator 1 1 500 100 1m30s" in text
    assert "all 3 1 2.5k 500 2m30s 0.5000" in text
    assert "fair 1 0 1k 200 30s 0.2500" in text
    assert "3k tokens, 0.5000 USD a valid candidate (n=1); " in text
    assert "Language-model calls" not in page(CHAIN).text


def test_each_candidate_shows_outcome_costs_retries_and_source(page):
    duplicate = failed(
        SECOND, FIRST, Step.JUDGE, FailureKind.DUPLICATE, num_debugs=1, num_downscales=3, duplicate_of=FIRST
    )
    text = page([BASE, CHAIN[1], duplicate]).text
    listed = text[text.index("All candidates") :]
    assert f"{FIRST} {BASE_ID} initial trained 1k 5k 0.4500 0 0 the idea of {FIRST} source of {FIRST}" in listed
    assert f"{SECOND} {FIRST} fair judge: duplicate of {FIRST} 1 3 an idea" in listed
    assert f"message of {SECOND} log of {SECOND} source" in listed


def test_accuracies_of_different_recipes_are_not_compared(page):
    records = [BASE, trained(FIRST, 0.9, BASE_ID, GATES, recipe="other")]
    assert report.gain(History(records), records[1]) is None
    assert "trained by 2 different recipes (other, recipe): their accuracies cannot be compared" in page(records).text


def test_a_lineage_ends_where_a_parent_is_unknown_or_comes_again():
    orphan = trained(FIRST, 0.9, "g00-initial-r1-s07-d0")
    assert lineage(History([orphan]), orphan) == [orphan]
    one, other = trained(FIRST, 0.9, SECOND), trained(SECOND, 0.8, FIRST)
    assert lineage(History([one, other]), one) == [other, one]


def test_300_candidates_take_less_than_ten_seconds_of_the_processor(page):
    source = "x = self.conv(x)  # <&>\n" * 150
    records = [BASE]
    for generation in range(1, 13):
        for slot in range(25):
            name = place((Stage.FAIR, Stage.PARETO, Stage.REFINE)[slot % 3], slot, generation)
            evaluation = Evaluation(0.5 + slot / 100, "recipe", {"params": 1000.0 + slot, "flops": 5000.0}, name)
            records.append(Record(name, records[-1].candidate_id, Idea("An idea.", tag=GATES), source, evaluation))
    started = time.process_time()
    big = page(records)
    assert time.process_time() - started < 10
    assert len(big.values("id")) >= 301


def test_a_report_that_cannot_be_written_leaves_the_one_of_before(page, tmp_path):
    page([BASE])
    before = contents(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"report\.html must be readable and writable, but: file too large"):
            page(CHAIN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == before
