"""Every edge of the feedback loop, with a real lab, a real store and a scripted language model over HTTP.

The edges within a candidate are walked through the graph of a single idea, in one run that stays open; what a search
makes of its candidates is tested on whole searches.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from fairnad.records.history import History, Record
from fairnad.settings.search_settings import RunContext
from graphs.candidate.single_idea import build
from graphs.cli.runner import run
from graphs.cli.search_command import parse
from graphs.runtime.registry import release
from tests.e2e.conftest import records, search_flags
from tests.e2e.networks import BROKEN, NO_NETWORK, SINGLE_LAYER, network
from tests.e2e.scripts import Script, fenced
from tests.openai_server import Reply, Request, ScriptedServer, prompt_of

BASE = network()
GOOD = network(width=9)
TOO_LARGE = network(width=12)
SMALLER = network(width=11)
FAR_TOO_LARGE = network(width=12, num_added=9)
ACTIVATIONS = ("ReLU", "GELU", "SiLU", "Hardswish", "ELU", "Tanh", "Mish", "Softplus", "LeakyReLU", "CELU", "SELU")
UNUSED = iter([network(width=width, activation=name) for name in ACTIVATIONS for width in (9, 7)])

Try = Callable[..., Awaitable[tuple[Script, Record]]]
Search = Callable[..., tuple[Script, History]]


class Line:
    """The script of the test that is running."""

    script = Script()

    def __call__(self, request: Request) -> Reply:
        return self.script(request)


@pytest.fixture
def good() -> str:
    """A network within the limits that no other test has trained."""
    return next(UNUSED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def attempt(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Try]:
    """Makes a single idea a candidate, against a script; the run and its lab serve all tests of this module."""
    runs, line, numbers = tmp_path_factory.mktemp("runs"), Line(), itertools.count()
    with ScriptedServer(line) as server:
        context = parse(search_flags({"pack": pack, "runs": runs, "llm.model": "scripted", "llm.base_url": server.url}))
        graph = build().compile()

        async def make(**replies: Sequence[str]) -> tuple[Script, Record]:
            line.script = script = Script(**replies)
            idea = f"Use a gate of kind {next(numbers)}."
            (recorded,) = (await graph.ainvoke({"idea": idea}, context=context))["recorded"]
            return script, History(records(runs / "test"))[recorded]

        yield make
        await release(context)


@pytest.fixture
def search(context: Callable[..., RunContext], history: Callable[..., History]) -> Search:
    """Runs a search of one slot against a script; the slot is drawn once unless a test asks for more."""

    def make(*, status: int = 1, settings: dict[str, object] | None = None, **replies: Sequence[str]):
        script = Script(**replies)
        with ScriptedServer(script) as server:
            given = {"search.max_draws": 1, "search.max_stalled_draws": 1} | (settings or {})
            told = context(**{"llm.model": "scripted", "llm.base_url": server.url}, **given)
            assert run(told) == status
        return script, history()

    return make


def only(history: History) -> Record:
    (record,) = history.drawn
    return record


@pytest.mark.asyncio(loop_scope="module")
class TestCandidate:
    """One candidate, from the idea to its record."""

    async def test_passes_the_first_time(self, attempt: Try, good: str) -> None:
        script, record = await attempt(mutate=[fenced(good)])
        assert script.asked == ["mutate", "judge"]
        assert record.trained
        assert record.source == good
        assert (record.num_debugs, record.num_downscales) == (0, 0)
        assert [(call.role, call.input_tokens, call.output_tokens) for call in record.calls] == [
            ("mutation", 100, 50),
            ("structural_judge", 100, 50),
        ]
        asked = script.requests[1]
        assert "response_format" not in asked and "JSON" not in prompt_of(asked), "paper mode adds nothing to a prompt"

    async def test_is_debugged_once(self, attempt: Try, good: str) -> None:
        script, record = await attempt(mutate=[fenced(BROKEN)], debug=[fenced(good)])
        assert script.asked == ["mutate", "debug", "judge"]
        assert record.num_debugs == 1
        shown = script.requests[1]["messages"][1]["content"]
        assert "mat1 and mat2 shapes" in shown, "the debugger is shown the error"
        assert BROKEN in shown

    async def test_is_debugged_twice(self, attempt: Try, good: str) -> None:
        script, record = await attempt(mutate=[fenced(BROKEN)], debug=[fenced(NO_NETWORK), fenced(good)])
        assert script.asked == ["mutate", "debug", "debug", "judge"]
        assert record.trained

    @pytest.mark.parametrize("reply", [fenced(BROKEN), "I cannot."], ids=["as broken as before", "no code"])
    async def test_fails_after_two_debugs_in_vain(self, attempt: Try, reply: str) -> None:
        script, record = await attempt(mutate=[fenced(BROKEN)], debug=[reply])
        assert script.asked == ["mutate", "debug", "debug"]
        assert record.failure is not None
        assert (record.failure.step, record.failure.kind) == ("execute", "shape")

    @pytest.mark.parametrize("num_downscales", [1, 4])
    async def test_is_downscaled(self, attempt: Try, good: str, num_downscales: int) -> None:
        replies = [fenced(TOO_LARGE)] * (num_downscales - 1) + [fenced(good)]
        script, record = await attempt(mutate=[fenced(SMALLER)], downscale=replies)
        assert script.asked == ["mutate", *["downscale"] * num_downscales, "judge"]
        assert record.num_downscales == num_downscales
        assert record.source == good

    async def test_fails_after_four_downscales_in_vain(self, attempt: Try) -> None:
        script, record = await attempt(mutate=[fenced(TOO_LARGE)], downscale=[fenced(TOO_LARGE)])
        assert script.asked == ["mutate", *["downscale"] * 4]
        assert record.failure is not None
        assert (record.failure.step, record.failure.kind) == ("downscale", "budget")
        assert re.match(r"params at 12\d% of its limit", record.failure.message)

    async def test_far_over_a_limit_uses_the_added_module_only_once_and_that_is_tried_once(
        self, attempt: Try, good: str
    ) -> None:
        script, record = await attempt(mutate=[fenced(FAR_TOO_LARGE)], downscale=[fenced(FAR_TOO_LARGE), fenced(good)])
        first, second = [request["messages"][0]["content"] for request in script.requests[1:3]]
        assert "Use it once, and only once" in first
        assert "Use it once, and only once" not in second
        assert record.num_downscales == 2

    async def test_that_a_downscale_breaks_is_debugged_and_then_starts_from_the_last_that_ran(
        self, attempt: Try, good: str
    ) -> None:
        script, record = await attempt(
            mutate=[fenced(TOO_LARGE)], downscale=[fenced(BROKEN), fenced(good)], debug=[fenced(BROKEN)]
        )
        assert script.asked == ["mutate", "downscale", "debug", "debug", "downscale", "judge"]
        assert TOO_LARGE in script.requests[4]["messages"][1]["content"]
        assert record.trained

    async def test_is_out_when_nothing_was_changed(self, attempt: Try) -> None:
        verdict = "changed: no - only a comment\nmulti-layer: yes\n##response## no"
        _, record = await attempt(mutate=[fenced(f"# a comment\n{BASE}")], judge=[verdict])
        assert record.failure is not None and (record.failure.step, record.failure.kind) == ("judge", "unchanged")

    async def test_is_out_as_a_duplicate_whatever_the_judge_says(self, attempt: Try, good: str) -> None:
        _, first = await attempt(mutate=[fenced(good)])
        _, second = await attempt(mutate=[fenced(f"# a comment\n{good}")])
        assert first.trained
        assert second.failure is not None and second.failure.kind == "duplicate"
        assert second.duplicate_of == first.candidate_id

    async def test_is_out_as_a_single_layer(self, attempt: Try) -> None:
        verdict = "changed: yes\nmulti-layer: no - one convolution\n##response## no"
        _, record = await attempt(mutate=[fenced(SINGLE_LAYER)], judge=[verdict])
        assert record.failure is not None and record.failure.kind == "single layer"


def test_a_judge_beside_other_players_is_asked_for_data(search):
    script, _ = search(
        status=0, mutate=[fenced(GOOD)], settings={"agents.mode": "best", "agents.players": "structural_judge=llm"}
    )
    assert script.asked[-1] == "judge"
    assert script.requests[-1]["response_format"]["type"] == "json_schema"


def test_garbage_is_a_failure_of_the_reply_and_the_slot_is_drawn_again(search):
    script, history = search(
        status=0,
        mutate=["¯\\_(ツ)_/¯", fenced(GOOD)],
        settings={"search.max_draws": 4, "search.max_stalled_draws": 24},
    )
    assert script.asked == ["mutate", "mutate", "judge"]
    assert [record.candidate_id for record in history.drawn] == ["g00-initial-r1-s00-d0", "g00-initial-r1-s00-d1"]
    first = history.drawn[0].failure
    assert first is not None and (first.step, first.kind) == ("mutate", "reply")
    assert history.base is not None and history.base.source == BASE


def test_twenty_four_failures_in_a_row_end_the_search_and_name_the_commonest(search, capsys):
    script, history = search(
        mutate=["no code"], settings={"search.initial": 8, "search.max_draws": 4, "search.max_stalled_draws": 24}
    )
    assert script.asked == ["mutate"] * 24
    assert len(history.drawn) == 24
    assert "the commonest failure is mutate: reply (24 of 24 draws)" in capsys.readouterr().out


def test_without_the_judge_nothing_is_asked(search):
    script, history = search(status=0, mutate=[fenced(GOOD)], settings={"search.ablate": "judge"})
    assert script.asked == ["mutate"]
    assert only(history).trained
