"""Several models: as JSON, as a file, in the configuration, in the environment; every mistake is one line."""

import json
import os

import pytest

from fairnad.errors import SettingsError
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.search_command import parse
from graphs.cli.settings_parser import add_settings, read_settings
from graphs.search.planning import most_at_once

ENTRIES = [{"model": "a", "base_url": "http://a/v1", "weight": 2}, {"model": "b", "extra_body": {"top_k": 1}}]
YAML = "- model: a\n  base_url: http://a/v1\n  weight: 2\n- {model: b, extra_body: {top_k: 1}}\n"
TOML = """
[[llm.models]]
model = "a"
base_url = "http://a/v1"
weight = 2
[[llm.models]]
model = "b"
extra_body = {top_k = 1}
"""
EXPECTED = RunContext.model_validate({"llm": {"models": ENTRIES}}).llm


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch):
    for name in list(os.environ):
        if name.upper().startswith("FAIRNAD_"):
            monkeypatch.delenv(name)


def test_every_way_to_give_them_is_the_same(tmp_path, monkeypatch):
    for name, text in {"m.yaml": YAML, "m.json": json.dumps(ENTRIES), "c.toml": TOML}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "d.toml").write_text(f"[llm]\nmodels = '{tmp_path / 'm.yaml'}'\n")
    ways = [
        ["--llm.models", json.dumps(ENTRIES)],
        *(["--llm.models", str(tmp_path / name)] for name in ("m.yaml", "m.json")),
        *(["--config", str(tmp_path / name)] for name in ("c.toml", "d.toml")),
    ]
    assert [parse(way).llm for way in ways] == [EXPECTED] * len(ways)
    monkeypatch.setenv("FAIRNAD_LLM__MODELS", json.dumps(ENTRIES))
    assert parse([]).llm == EXPECTED


def test_building_knowledge_takes_them_too(tmp_path):
    (tmp_path / "m.yaml").write_text(YAML)
    parser = Parser()
    add_settings(parser, KnowledgeContext, sections=["llm"])

    def read_context(*flags):
        return read_settings(parser.parse_args(flags), parser, KnowledgeContext)

    assert read_context("--llm.models", str(tmp_path / "m.yaml")).llm == EXPECTED
    assert read_context("--llm.models", json.dumps(ENTRIES)).llm == EXPECTED
    with pytest.raises(SettingsError, match=r"^--llm: expected --llm.models, or --llm.model with .* omit one$"):
        read_context("--llm.models", json.dumps(ENTRIES), "--llm.model", "m")


def test_what_an_entry_leaves_open_is_as_given_for_all():
    flags = ["--llm.temperature", "0.1", "--llm.json-schema", "off", "--llm.concurrency", "3"]
    entries = json.dumps([{"model": "a"}, {"model": "b", "temperature": 0.9}])
    llm = parse([*flags, "--llm.models", entries]).llm
    assert [(one.temperature, one.json_schema, one.concurrency) for one in llm.models] == [
        (0.1, "off", 3),
        (0.9, "off", 3),
    ]
    assert RunContext.model_validate_json(RunContext(llm=llm).model_dump_json()).llm == llm
    assert llm.title == "a, b"


def test_one_model_is_an_entry_of_its_own():
    llm = parse(["--llm.model", "m", "--llm.base-url", "http://a/v1", "--llm.requests-per-minute", "7"]).llm
    (entry,) = llm.models
    assert (entry.title, entry.base_url, entry.requests_per_minute, entry.temperature) == ("m", "http://a/v1", 7, 0.7)
    assert parse([]).llm.models == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--llm.models", "no.yaml"], "--llm.models: expected JSON or a file of entries, found no file no.yaml"),
        (["--llm.models", "[1]"], "--llm.models: expected a list of entries, each with a model, found '[1]'"),
        (["--llm.models", '[{"model": "a"}]', "--llm.model", "m"], "--llm: expected --llm.models, or --llm.model with"),
        (["--llm.models", '[{"model": "a"}]', "--llm.base-url", "http://a"], "found both: omit one"),
        (
            ["--llm.models", '[{"model": "a", "name": "x"}, {"model": "b", "name": "x"}]'],
            "--llm: expected one model of the name x, found a and b: give each its own name",
        ),
        (
            ["--llm.models", '[{"model": "a", "roles": ["judge"]}]'],
            "--llm.models.0.roles: unknown role judge; did you mean structural_judge?",
        ),
        (["--llm.models", '[{"name": "a"}]'], "--llm.models.0.model: field required"),
        (["--llm.models", '[{"model": "a", "wieght": 2}]'], "unknown setting llm.models.0.wieght"),
    ],
)
def test_a_mistake_is_one_line(arguments, message):
    with pytest.raises(SettingsError) as caught:
        parse(arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_list_is_refused_under_its_name(tmp_path):
    file = tmp_path / "m.yaml"
    for text, message in {"a: [": "expected a list of entries in JSON or YAML", "hello": "each with a model"}.items():
        file.write_text(text)
        with pytest.raises(SettingsError) as caught:
            parse(["--llm.models", str(file)])
        assert str(caught.value).startswith(f"--llm.models: {file}: ")
        assert message in str(caught.value)


def test_a_variable_that_is_no_json_is_refused(monkeypatch):
    monkeypatch.setenv("FAIRNAD_PIN", "operation")
    with pytest.raises(SettingsError, match="expected JSON for a list"):
        parse([])


def test_a_steady_search_counts_the_calls_of_all_models_that_design():
    models = [
        {"model": "a", "concurrency": 3, "base_url": "http://one/v1"},
        {"model": "a", "concurrency": 4, "base_url": "http://two/v1"},
        {"model": "b", "concurrency": 16, "roles": ["debugger"]},
    ]
    assert most_at_once(parse(["--llm.models", json.dumps(models)]).llm) == 7
    assert most_at_once(parse(["--llm.model", "m", "--llm.concurrency", "5"]).llm) == 5
    assert most_at_once(parse([]).llm) == 8
