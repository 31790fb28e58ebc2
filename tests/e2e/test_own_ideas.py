"""Pins, bans and a person's own ideas in whole searches."""

from __future__ import annotations

import pytest

from graphs.cli.search_command import main
from store.run_folder import RunFolder
from tests.e2e.scripts import lively
from tests.openai_server import ScriptedServer

PATH = "performance/operation/activation"


@pytest.fixture
def search(flags):
    """Runs a search with the lively model; gives the exit status."""

    def run(**settings: object) -> int:
        with ScriptedServer(lively) as model:
            told = {"llm.model": "m", "llm.base_url": model.url, "search.initial": 3, "search.fair": 3}
            return main(flags(**{**told, **settings}))

    return run


def mains(history) -> set[str]:
    return {record.idea.tag.main for record in history.drawn if record.idea.kind == "knowledge"}


def test_pins_and_bans_choose_what_ideas_are_about_and_may_change(search, history):
    assert search(archs=2, pin="activation") == 0
    assert mains(history()) == {"activation"}
    assert search(archs=8, pin='["activation","normalization"]', ban="activation") == 0
    assert mains(history()) == {"activation", "normalization"}
    later = [record for record in history().drawn if record.stage == "fair"]
    assert {record.idea.tag.main for record in later} == {"normalization"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pin": "activaton"}, "--pin: there is no category 'activaton'; did you mean 'activation'?"),
        ({"ban": PATH + "/gellu"}, "--ban: there is no category 'performance/operation/activation/gellu'; did you"),
        ({"pin": PATH, "ban": PATH}, "--pin and --ban leave no idea to draw: pin more, or ban less"),
        ({"mutation_prompt": "hello"}, "--prompts: mutation: expected the headings '# System' and '# User'"),
    ],
)
def test_a_category_or_a_prompt_that_cannot_be(flags, capsys, settings, message):
    assert main(flags(**settings)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def add(tmp_path, *words: str) -> int:
    return main(["add-idea", *words, "--run", "test", "--runs", str(tmp_path / "runs")])


def test_an_own_idea_is_drawn_next_once_and_first(search, history, tmp_path, capsys):
    assert search(archs=1) == 0
    assert add(tmp_path, "Use GELU in every second block.", "--tag", f"{PATH}/gelu") == 0
    assert "has 1 of your ideas" in capsys.readouterr().out
    assert add(tmp_path, "Use GELU in every second block.", "--tag", f"{PATH}/gelu") == 2
    assert search(archs=6) == 0
    own = [record for record in history().drawn if record.idea.text == "Use GELU in every second block."]
    knowledge = [record for record in history().drawn if record.idea.kind == "knowledge"]
    assert own[0] in knowledge[1:4], "at the next draw"
    assert (own[0].idea.source.title, str(own[0].idea.tag)) == (
        "own idea",
        "performance / operation / activation / gelu",
    )


def test_an_own_idea_reaches_a_search_that_is_under_way(flags, history, tmp_path):
    first, added = iter([True]), []

    def model(request):
        if next(first, False):
            added.append(add(tmp_path, "Make the stem wider.", "--tag", PATH))
        return lively(request)

    with ScriptedServer(model) as server:
        told = {"llm.model": "m", "llm.base_url": server.url, "archs": 6, "search.initial": 2, "search.fair": 3}
        assert main(flags(**told)) == 0
    assert added == [0]
    texts = [record.idea.text for record in history().drawn]
    assert "Make the stem wider." in texts[1:]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["A new idea.", "--tag", PATH + "/gellu"], "did you mean 'performance / operation / activation / gelu'?"),
        (["word " * 60, "--tag", PATH], "add-idea: an idea has 1 to 49 words, found 60"),
        (["A new idea."], "the following arguments are required: --tag"),
    ],
)
def test_what_is_no_idea_is_refused_in_one_line(context, tmp_path, capsys, words, message):
    RunFolder.open(context()).close()
    capsys.readouterr()
    assert add(tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert message in error


def test_a_prompt_of_the_settings_is_what_the_model_is_asked_with_and_belongs_to_the_run(flags, tmp_path, capsys):
    system = "You are given a network as one Python file, and a request. Be bold."
    bold = tmp_path / "mutation.md"
    bold.write_text(f"# System\n{system}\n# User\n{{{{ idea }}}}\n{{{{ parent }}}}\n")
    careful = tmp_path / "careful.md"
    careful.write_text(bold.read_text().replace("bold", "careful"))
    with ScriptedServer(lively) as server:
        told = {"llm.model": "m", "llm.base_url": server.url, "archs": 1}
        assert main(flags(**told, prompts=f"mutation={bold}")) == 0
        assert any("Be bold." in text for text in server.asked)
        assert main(flags(**told, prompts=f"mutation={careful}")) == 2
    assert "--prompts (was {'mutation': " in capsys.readouterr().err
