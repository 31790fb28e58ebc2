from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fairnad.records.candidate import FailureKind, Step
from fairnad.records.history import History, Record
from fairnad.search.stalls import StallCounter, find_stall
from fairnad.settings.search_settings import RunContext
from fairnad.settings.sections import CHANGEABLE
from graphs.cli.settings_parser import leaves

IDS = [f"g01-fair-r1-s{slot:02d}-d0" for slot in range(7)]


def flags_that_are_fixed(text: str) -> list[str]:
    fields = dict(leaves(RunContext))
    flags = re.findall(r"--([a-z.-]+)", text)
    return [
        flag
        for flag in flags
        if fields[flag.replace("-", "_")].json_schema_extra != CHANGEABLE and flag not in ("run", "llm.model")
    ]


def test_only_draws_of_this_start_are_counted(trained: Callable[..., Record], failed: Callable[..., Record]) -> None:
    records = [failed(one, Step.MUTATE, FailureKind.CONTEXT) for one in IDS]
    count = StallCounter(IDS[:2])
    assert count.add(records[:2]) == 0
    assert count.add(records[2:4]) == 2
    assert count.add([]) == 2
    assert count.add([records[4], trained(IDS[5])]) == 0
    assert count.add(records[6:7]) == 1


def test_the_commonest_of_the_last_failures_is_named_in_its_newest_words(failed: Callable[..., Record]) -> None:
    kinds = [*[FailureKind.REPLY] * 4, FailureKind.CONTEXT, FailureKind.SYNTAX, FailureKind.CONTEXT]
    history = History(failed(one, Step.MUTATE, kind) for one, kind in zip(IDS, kinds, strict=True))
    stall = find_stall(history, 3)
    assert stall is not None
    assert (stall.kind, stall.num_failures) == (FailureKind.CONTEXT, 2)
    assert stall.message == history.records[-1].failure.message  # type: ignore[union-attr]
    assert "--llm.max-tokens" in stall.advice
    assert find_stall(History(), 3) is None


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("step", [Step.EXECUTE, Step.TRAIN])
def test_every_failure_has_an_advice_that_names_settings_there_are(
    failed: Callable[..., Record], step: Step, kind: FailureKind
) -> None:
    stall = find_stall(History([failed(IDS[0], step, kind)]), 1)
    assert stall is not None
    assert "--" in stall.advice
    assert not flags_that_are_fixed(stall.advice) or "--run" in stall.advice, "what needs another run says so"
