"""A weak and a strong language model: the search stops repairing the one, and goes on repairing the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fairnad.records.history import History
from fairnad.settings.search_settings import RunContext
from graphs.cli.runner import run
from tests.e2e.networks import BROKEN, network
from tests.e2e.scripts import fenced, role_of
from tests.openai_server import Reply, Request, ScriptedServer


class Model:
    """Every second network is broken; a strong model mends it, a weak one sends it back as it is."""

    def __init__(self, *, is_strong: bool) -> None:
        self.is_strong = is_strong
        self.num_drawn = 0
        self.num_debugs = 0

    def __call__(self, request: Request) -> Reply:
        if role_of(request) == "debug":
            self.num_debugs += 1
            return Reply(fenced(self._new() if self.is_strong else BROKEN))
        self.num_drawn += 1
        return Reply(fenced(BROKEN if self.num_drawn % 2 else self._new()))

    def _new(self) -> str:
        number = self.num_drawn // 2
        activations = ["ReLU", "GELU", "SiLU", "ELU", "Tanh", "Hardswish"]
        return network(width=4 + number // 6, activation=activations[number % 6], repeats=2 + self.num_drawn % 2)


@pytest.mark.parametrize("is_strong", [False, True])
def test_a_weak_model_draws_anew_and_a_strong_one_repairs(
    is_strong: bool, context: Callable[..., RunContext], history: Callable[..., History]
) -> None:
    model = Model(is_strong=is_strong)
    settings = {
        "agents.mode": "best",
        "agents.players": "mutator=llm,debugger=llm",
        "agents.repair": "learned",
        "llm.concurrency": 1,
        "search.initial": 2,
        "search.fair": 2,
        "search.pareto": 0,
        "search.refine": 0,
        "archs": 10,
    }
    with ScriptedServer(model) as server:
        run(context(**settings, **{"llm.model": "scripted", "llm.base_url": server.url}))
    drawn = history().drawn
    given_up = [record for record in drawn if record.choices.resample]
    if is_strong:
        assert not given_up
        assert sum(repair.mended for record in drawn for repair in record.repairs) >= 4
    else:
        assert given_up, "nothing was learned from repairs that bring nothing"
        spared = [r for r in given_up if r.failure is not None and r.failure.kind in r.choices.resample]
        assert not any(repair.num_calls for record in spared for repair in record.repairs)
        assert model.num_debugs < 2 * sum(record.failure is not None for record in drawn)
