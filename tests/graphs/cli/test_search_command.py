"""Flags, environment and file become settings; every mistake is one line."""

import os
import subprocess
import sys

import pytest

from fairnad.errors import EndpointError, SettingsError, TaskError
from graphs.cli.exit_status import report_errors
from graphs.cli.search_command import main, parse


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("FAIRNAD_"):
            monkeypatch.delenv(name)


def test_the_defaults_need_no_flag():
    context = parse([])
    assert (context.task, context.archs, context.run_name) == ("digits", 32, "digits-0")


def test_flags_reach_every_section():
    flags = "--search.max-draws 3 --max-params 1.5M --llm.model m --lab.slots 2 --agents.players mutator=llm"
    context = parse(flags.split())
    assert context.search.max_draws == 3
    assert context.max_params == 1_500_000
    assert (context.llm.title, context.lab.slots, context.agents.player_of("mutator")) == ("m", 2, "llm")


def test_flags_win_over_the_environment_and_the_environment_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / "settings.toml"
    file.write_text('archs = 5\nseed = 5\n[llm]\nmodel = "file"\ntemperature = 0.5\n')
    monkeypatch.setenv("FAIRNAD_SEED", "6")
    monkeypatch.setenv("FAIRNAD_LLM__MODEL", "environment")
    context = parse(["--config", str(file), "--llm.model", "flag"])
    assert (context.archs, context.seed, context.llm.title, context.llm.models[0].temperature) == (5, 6, "flag", 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--llm.modle", "x"], "unknown flag --llm.modle; did you mean --llm.model?"),
        (["--arch=3"], "unknown flag --arch; did you mean --archs?"),
        (["--zzzzzzzz"], "unknown flag --zzzzzzzz; --help-all lists all settings"),
        (["--archs"], "argument --archs: expected one argument"),
        (["--archs", "x"], "--archs: input should be a valid integer, unable to parse string as an integer, found 'x'"),
        (["--archs", "0"], "--archs: input should be greater than or equal to 1, found '0'"),
        (["--max-params", "1Q"], "--max-params: expected a number such as 1500000, 1.5M or 0.2G, found '1Q'"),
        (
            ["--search.fair", "0", "--search.pareto", "0", "--search.refine", "0"],
            "--search: expected at least one of fair, pareto and refine above 0: no generation would draw anything",
        ),
        (["--config", "nowhere.toml"], "--config: expected a TOML file, found no file nowhere.toml"),
    ],
)
def test_a_mistake_in_the_flags_is_named(arguments, message):
    with pytest.raises(SettingsError) as caught:
        parse(arguments)
    assert str(caught.value) == message


def test_a_mistake_in_the_environment_or_the_file_is_named(tmp_path, monkeypatch):
    file = tmp_path / "settings.toml"
    file.write_text('[llm]\nmodle = "x"\n')
    with pytest.raises(SettingsError, match=r"unknown setting llm.modle; did you mean llm.model\?"):
        parse(["--config", str(file)])
    file.write_text("archs = \n")
    with pytest.raises(SettingsError, match="is not TOML"):
        parse(["--config", str(file)])
    monkeypatch.setenv("FAIRNAD_LLMM__MODEL", "x")
    with pytest.raises(SettingsError, match=r"FAIRNAD_LLMM__MODEL; did you mean FAIRNAD_LLM__MODEL\?"):
        parse([])


def test_errors_become_one_line_and_a_status(capsys):
    def fail(error):
        raise error

    assert report_errors(lambda: fail(TaskError("no data"))) == 2
    assert report_errors(lambda: fail(EndpointError("gone"))) == 1
    assert report_errors(lambda: fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.splitlines() == ["error: no data", "stopped: gone", "stopped"]
    with pytest.raises(ZeroDivisionError):
        report_errors(lambda: fail(ZeroDivisionError()))


def test_a_role_cannot_be_a_language_model_where_none_is_configured(capsys, tmp_path):
    assert main(["--agents.players", "debugger=llm", "--runs", str(tmp_path)]) == 2
    assert (
        "--agents.players debugger=llm: no language model is configured; set --llm.model or --llm.models"
        in capsys.readouterr().err
    )


def test_help_answers_at_once_and_loads_nothing_heavy():
    before = os.times().children_user
    code = "import sys\nfrom graphs.cli.search_command import main\ntry: main(['--help'])\n"
    code += "finally: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--max-params" in done.stdout
    assert "doctor " in done.stdout, "the commands are listed"
    for heavy in ("torch", "langgraph", "chromadb", "openai", "sklearn"):
        assert f"'{heavy}'" not in done.stdout
    assert os.times().children_user - before < 4  # processor time, and a busy machine counts up to twice of it


def test_flags_for_the_output_are_no_settings():
    assert parse(["--archs", "3", "--json"]) == parse(["--archs", "3"])
    with pytest.raises(SettingsError, match="argument --quiet: not allowed with argument --json"):
        parse(["--json", "--quiet"])
    with pytest.raises(SettingsError, match=r"unknown flag --jsn; did you mean --json\?"):
        parse(["--jsn"])
