"""What a user can get wrong before or during a search: one clear line, exit status 2, nothing damaged."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphs.cli.search_command import main
from tests.e2e.networks import BROKEN, NO_NETWORK, network
from tests.e2e.scripts import fenced
from tests.openai_server import Reply, ScriptedServer


@pytest.fixture
def refused(flags, capsys):
    """Runs a search that must be refused, and gives its one line."""

    def search(**settings: object) -> str:
        assert main(flags(**settings)) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1, error
        assert error.startswith("error: ")
        return error

    return search


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (NO_NETWORK, "the base model cannot be used: execute: "),
        (BROKEN, "the base model cannot be used: execute: "),
        ("class Network(:\n", "the base model cannot be used: execute: "),
    ],
)
def test_a_base_that_does_not_run(refused, tmp_path, source, message):
    base = tmp_path / "base.py"
    base.write_text(source)
    assert message in refused(base=base)


def test_a_base_over_its_budgets_that_cannot_be_brought_under_them(refused, tmp_path):
    base = tmp_path / "base.py"
    base.write_text(network(width=30))
    with ScriptedServer(lambda request: Reply(fenced(network(width=29)))) as server:
        error = refused(**{"base": base, "llm.model": "scripted", "llm.base_url": server.url})
    assert "the base model cannot be used: downscale: params at " in error
    assert "after 4 downscales" in error


def test_a_base_over_its_budgets_is_brought_under_them_first(flags, history, tmp_path):
    base = tmp_path / "base.py"
    base.write_text(network(width=30))
    with ScriptedServer(lambda request: Reply(fenced(network(width=7, activation="GELU")))) as server:
        told = flags(**{"base": base, "llm.model": "m", "llm.base_url": server.url, "search.ablate": "judge"})
        assert main([*told, "--search.max-draws", "1", "--search.max-barren-draws", "1"]) == 1
    assert history().base.num_downscales == 1
    assert history().base.trained


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": "resnet99"}, "resnet99"),
        ({"task": "cifar1"}, "--task: the pack vision has no task cifar1; there are digits"),
        ({"recipe": "quik"}, "--recipe: unknown recipe quik; did you mean quick?"),
        ({"lab.device": "cuda"}, "--lab.device cuda: expected an NVIDIA GPU"),
        ({"ideas": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"pack": "nowhere"}, "nowhere"),
        ({"run": "a/b"}, "--run must be a plain folder name"),
        ({"run": "a\nb"}, "--run must be a plain folder name, found 'a\\nb'"),
    ],
)
def test_a_name_that_leads_nowhere(refused, settings, message):
    assert message in refused(**settings)


def test_an_idea_file_with_a_fault_names_the_line(refused, tmp_path):
    ideas = tmp_path / "ideas.jsonl"
    ideas.write_text(Path("prompts/vision/ideas.jsonl").read_text().splitlines()[0] + "\n{broken\n")
    assert "line 2" in refused(ideas=ideas)


def test_a_run_folder_of_another_version(refused, tmp_path):
    folder = tmp_path / "runs" / "test"
    folder.mkdir(parents=True)
    database = sqlite3.connect(folder / "history.sqlite")
    for table in ("steps", "records", "calls"):
        database.execute(f"CREATE TABLE {table} (x)")
    database.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    database.execute("INSERT INTO meta VALUES ('schema version', '99')")
    database.commit()
    database.close()
    assert "has version 99" in refused()


def test_changed_settings_are_refused_and_named(refused, flags, tmp_path):
    with ScriptedServer(lambda request: Reply("no")) as server:
        told = {"llm.model": "m", "llm.base_url": server.url, "search.max_draws": 1, "search.max_stalled_draws": 1}
        assert main(flags(**told)) == 1
        error = refused(**told, seed=5)
    assert "--seed (was 0, now 5)" in error
    assert "choose another --run" in error


def test_other_settings_of_a_run_are_refused_before_any_image_is_read(refused, flags, tmp_path):
    assert main(flags()) == 0
    error = refused(task="folder", data=tmp_path / "nowhere")
    assert "--task (was digits, now folder)" in error


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 16 MB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_disk_that_fills_up_ends_the_search_and_the_search_goes_on_when_there_is_room(
    flags, history, small_disk, capsys
):
    sources = [fenced(network(width=width)) for width in (5, 6, 7, 9)]
    with ScriptedServer(lambda request: Reply(sources.pop(0))) as server:
        told = {"llm.model": "m", "llm.base_url": server.url, "search.ablate": "judge", "runs": small_disk}
        assert main(flags(**told)) == 0
        junk = small_disk / "junk"
        with junk.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"\0" * 4096)
        capsys.readouterr()
        assert main(flags(**told, archs=4)) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert "nothing that was stored is lost" in error
        junk.unlink()
        assert main(flags(**told, archs=4)) == 0
