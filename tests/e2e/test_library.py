"""A search whose language model composes from modules that have been checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnad.records.history import History
from graphs.cli.search_command import main
from tests.e2e.networks import network
from tests.e2e.scripts import fenced, role_of
from tests.openai_server import Reply, Request, ScriptedServer, prompt_of

OFFERED = "These modules are at hand as layers."


class Composer:
    """Writes a gate in the first wave, later ones by the names it is offered, and never a class twice."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def __call__(self, request: Request) -> Reply:
        assert role_of(request) == "mutate"
        prompt = prompt_of(request)
        self.prompts.append(prompt)
        if "`Gate`: " in prompt:
            width = 4 + len(self.prompts)
            source = network(width=width).replace("nn.Identity()", f"Gate({width})")
        else:
            source = network(num_added=1).replace("self.fc(x)", "self.scale(x)")
            source = source.replace("self.fc = nn.Conv2d(channels, channels, 1)", "self.scale = ChannelGate(channels)")
        return Reply(fenced(source))


@pytest.fixture
def composed(flags: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """A search of two waves, one idea for all, in whole files."""
    settings = {"agents.mode": "best", "agents.mutation_format": "full", "llm.model": "scripted", "llm.concurrency": 1}
    waves = {"search.initial": 1, "search.fair": 1, "search.pareto": 0, "search.refine": 0, "archs": 3}
    names = {"pin": "adaptive feature recalibration", "max_params": 10000, "max_flops": 1e7}
    return lambda server, **given: flags(**{**settings, **waves, **names, "llm.base_url": server.url, **given})


def test_modules_of_the_pack_and_of_earlier_candidates_are_offered_and_written_in(
    composed: Callable[..., list[str]],
    history: Callable[..., History],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = Composer()
    with ScriptedServer(model) as server:
        assert main(composed(server)) == 0
    first, second, third = history().trained[-3:]
    assert OFFERED in model.prompts[0] and "- `ChannelGate`: Channel attention" in model.prompts[0]
    assert first.note == "uses ChannelGate" and "class ChannelGate(nn.Module)" in first.source
    assert f"{first.candidate_id}/Gate" in second.choices.parts
    assert second.note.startswith("uses Gate")
    assert "class Gate(nn.Module)" in second.source and "class ChannelGate(nn.Module)" in second.source
    assert third.choices.parts
    capsys.readouterr()
    assert main(["show", second.candidate_id, "--runs", str(tmp_path / "runs"), "--run", "test"]) == 0
    assert f"{first.candidate_id}/Gate" in capsys.readouterr().out


def test_without_a_library_nothing_is_offered(
    composed: Callable[..., list[str]], history: Callable[..., History]
) -> None:
    prompts = []

    def model(request: Request) -> Reply:
        prompts.append(prompt_of(request))
        return Reply(fenced(network(width=9)))

    with ScriptedServer(model) as server:
        assert main(composed(server, agents__library=0, archs=1)) == 0
    assert not any(OFFERED in prompt for prompt in prompts)
    assert not history().trained[-1].choices.parts


def test_a_module_of_the_pack_that_does_not_run_ends_the_search_before_it_begins(
    composed: Callable[..., list[str]], pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = tmp_path / "spoiled"
    shutil.copytree(pack, spoiled)
    path = spoiled / "modules" / "01_feature_extraction.toml"
    path.write_text(path.read_text().replace("return self.norm(self.conv(x))", "return self.conv(x)[:, 1:]"))
    with ScriptedServer(Composer()) as server:
        assert main(composed(server, pack=spoiled)) == 2
        assert server.num_requests == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert "modules: class " in line and "does not run" in line and "it must keep the shape" in line
