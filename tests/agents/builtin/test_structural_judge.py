from agents.builtin.structural_judge import BuiltinStructuralJudge
from fairnad.ports import CallContext, JudgeRequest, Model, Verdict
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step

PARENT = CheckReport({"params": 1.0, "flops": 1.0}, fingerprint="aa", num_repeats=4)


async def judge(judged: CheckReport | None, parent: CheckReport | None = PARENT) -> Verdict | Failure:
    request = JudgeRequest(CallContext("g01-fair-r1-s00-d0", 0, 0), Model("new", judged), Model("old", parent))
    return await BuiltinStructuralJudge().judge(request)


async def test_another_trace_with_repeats_passes() -> None:
    verdict = await judge(CheckReport({}, fingerprint="bb", num_repeats=2))

    assert verdict == Verdict(True, True, "different operator trace, 2 repeats in series")


async def test_the_same_trace_is_unchanged() -> None:
    verdict = await judge(CheckReport({"params": 2.0}, fingerprint="aa", num_repeats=4))

    assert verdict == Verdict(False, True, "the same operator trace, 4 repeats in series")


async def test_a_network_without_repetition_is_a_single_layer() -> None:
    verdict = await judge(CheckReport({}, fingerprint="bb", num_repeats=1))

    assert verdict == Verdict(True, False, "different operator trace, no block runs twice in series")


async def test_a_model_that_was_never_run_is_not_judged() -> None:
    failure = await judge(None)

    assert failure == Failure(Step.JUDGE, FailureKind.RUNTIME, "the source has not run yet")
    assert await judge(PARENT, None) == Failure(Step.JUDGE, FailureKind.RUNTIME, "its parent has not run yet")
