"""The failure report: what was met, mended and final, and what calls it took."""

from dataclasses import replace

from fairnad.records.candidate import Call, FailureKind, Step
from fairnad.records.failure_report import CallCount, KindCount, failure_report
from fairnad.records.history import History, PassRate, Repair

SHAPE, IMPORT = FailureKind.SHAPE, FailureKind.IMPORT


def place(number):
    return f"g01-fair-r1-s{number:02d}-d0"


def test_failures_count_where_they_were_met_also_when_mended(trained, failed):
    two_faults = (Repair(IMPORT, 1, False, 1), Repair(SHAPE, 2, True, 1))
    history = History(
        [
            trained(place(0)),
            trained(place(1), repairs=two_faults),
            failed(place(2), repairs=(Repair(SHAPE, 1, False, 1), Repair(SHAPE, 2, False, 1))),
            trained(place(3), num_downscales=2),
            failed(place(4), Step.DOWNSCALE, FailureKind.BUDGET, num_downscales=4),
            failed(place(5), Step.JUDGE, FailureKind.SINGLE_LAYER),
            failed(place(6), Step.MUTATE, FailureKind.CONTEXT),
        ]
    )
    report = failure_report(history)
    assert report.kinds == (
        KindCount("downscale", "budget", "downscaling failure", 2, 1, 1),
        KindCount("execute", "shape", "shape mismatch", 2, 1, 1),
        KindCount("execute", "import", "component hallucination", 1, 0, 0),
        KindCount("judge", "single layer", "structural failure", 1, 0, 1),
        KindCount("mutate", "context", "", 1, 0, 1),
    )
    assert report.paper == {
        "incomplete generation": 0,
        "component hallucination": 1,
        "shape mismatch": 2,
        "downscaling failure": 2,
        "structural failure": 1,
    }
    assert report.pass_rate == PassRate(3, 6)
    assert report.phases == {
        "reply": PassRate(6, 6),
        "execution": PassRate(5, 6),
        "budget": PassRate(4, 5),
        "structure": PassRate(3, 4),
    }
    assert (report.num_debugs, report.num_debugs_mended, report.num_debugs_without_call) == (4, 1, 0)
    assert report.num_debugs_mended == sum(one.num_mended for one in report.kinds if one.step == "execute")
    assert (report.num_downscales, report.num_downscaled, report.num_fitted) == (6, 2, 1)


def test_a_fault_that_a_debug_uncovered_ends_the_draw_and_nothing_counts_as_mended(failed):
    (first, last) = failure_report(
        History([failed(place(0), Step.EXECUTE, SHAPE, repairs=(Repair(IMPORT, 1, False, 1),))])
    ).kinds
    assert (first.kind, first.num_mended, first.num_final) == ("import", 0, 0)
    assert (last.kind, last.num_mended, last.num_final) == ("shape", 0, 1)


def test_calls_are_counted_by_role_and_model(trained):
    calls = (
        Call("mutation", "a", 100, 50, 1.0, ok=True),
        Call("mutation", "b", 7, 3, 1.0, ok=False),
        Call("mutation", "a", 10, 5, 1.0, ok=True),
    )
    report = failure_report(History([trained(place(0), calls=calls)]))
    assert report.calls == (CallCount("mutation", "a", 2, 0, 110, 55), CallCount("mutation", "b", 1, 1, 7, 3))


def test_of_nothing_there_is_nothing_to_tell():
    report = failure_report(History())
    assert (report.kinds, report.calls, report.pass_rate.value) == ((), (), None)


def test_an_integrity_refusal_has_passed_neither_budget_nor_structure(failed, trained) -> None:
    refused = replace(failed(place(1), Step.JUDGE, FailureKind.BATCH_LEAKAGE), num_downscales=1)
    report = failure_report(History([trained(place(0)), refused]))
    assert report.pass_rate == PassRate(1, 2)
    assert report.phases["execution"] == PassRate(1, 2)
    assert report.phases["budget"] == report.phases["structure"] == PassRate(1, 1)
    assert report.num_fitted == 0
