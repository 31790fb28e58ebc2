from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairnad.errors import IdeaFileError, RunFolderError, SettingsError, StorageError
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.records.history import Record
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.search_settings import RunContext, SearchSettings
from store.run_folder import RunFolder, read_context


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(run="mine", runs=str(tmp_path / "runs"), task="digits", seed=3, max_params=1.5e6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "mine"


@pytest.fixture
def folder(context: RunContext) -> Iterator[RunFolder]:
    with RunFolder.open(context) as opened:
        yield opened


def test_a_run_begins_with_a_folder_of_its_own(folder: RunFolder, path: Path) -> None:
    assert folder.path == path
    assert folder.checkpoints == path / "checkpoints.sqlite"
    assert folder.scratch.is_dir()
    assert list(folder.history.records()) == []
    assert {entry.name for entry in path.iterdir()} >= {"history.sqlite", "settings.toml", "scratch"}


def test_a_run_without_a_name_is_named_after_task_and_seed(tmp_path: Path) -> None:
    with RunFolder.open(RunContext(runs=str(tmp_path), task="digits", seed=8)) as folder:
        assert folder.path == tmp_path / "digits-8"


def test_the_settings_file_holds_every_setting_and_gives_them_back(folder: RunFolder, context: RunContext) -> None:
    content = tomllib.loads((folder.path / "settings.toml").read_text())
    assert content["max_params"] == 1.5e6
    assert "max_flops" not in content
    assert content["search"]["fairness"] == "main"
    assert set(content["search"]) == set(SearchSettings.model_fields)
    assert read_context(folder.path) == context


def test_no_key_is_written(context: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    model = LanguageModelSettings(model="m", base_url="https://user:sk-very-secret@host:8000/v1?to=a@b")
    with RunFolder.open(context.model_copy(update={"llm": model})) as folder:
        folder.export()
        for file in folder.path.rglob("*"):
            assert not file.is_file() or b"sk-very-secret" not in file.read_bytes()
        assert read_context(folder.path).llm.models[0].base_url == "https://host:8000/v1?to=a@b"


def test_a_run_is_continued_with_what_it_holds(context: RunContext, make_record: Callable[..., Record]) -> None:
    with RunFolder.open(context) as folder:
        folder.history.add_record(make_record(4))
        (folder.scratch / "left over").mkdir()
        (folder.scratch / "left over" / "weights").write_bytes(b"0")
    with RunFolder.open(context) as folder:
        assert list(folder.history.records()) == [make_record(4)]
        assert list(folder.scratch.iterdir()) == []


def test_other_settings_are_refused_by_the_names_of_their_flags(context: RunContext, path: Path) -> None:
    RunFolder.open(context).close()
    other = context.model_copy(update={"seed": 4, "search": SearchSettings(max_draws=1)})
    with pytest.raises(SettingsError) as caught:
        RunFolder.open(other)
    assert str(caught.value) == (
        f"{path} was started with other settings: --seed (was 3, now 4), --search.max-draws (was 4, now 1); "
        "resume it with its own settings, or choose another --run"
    )
    RunFolder.open(context).close()
    assert read_context(path) == context


def test_settings_that_may_change_are_updated_in_the_file(context: RunContext, path: Path) -> None:
    RunFolder.open(context).close()
    longer = context.model_copy(update={"archs": 500, "llm": LanguageModelSettings(timeout_seconds=9)})
    RunFolder.open(longer).close()
    assert read_context(path) == longer


def test_a_moved_run_is_still_the_same_run(context: RunContext, path: Path, tmp_path: Path) -> None:
    RunFolder.open(context).close()
    path.rename(tmp_path / "renamed")
    with RunFolder.open(context.model_copy(update={"runs": str(tmp_path), "run": "renamed"})) as folder:
        assert folder.path == tmp_path / "renamed"


def test_a_second_opening_is_refused_until_the_first_is_closed(context: RunContext, path: Path) -> None:
    first = RunFolder.open(context)
    with pytest.raises(RunFolderError, match=f"{path} is in use by process {os.getpid()}: wait until it ends"):
        RunFolder.open(context)
    first.close()
    first.close()
    RunFolder.open(context).close()


def test_a_holder_that_has_not_said_who_it_is_is_another_process(context: RunContext, path: Path) -> None:
    with RunFolder.open(context):
        (path / "lock").write_text("")
        with pytest.raises(RunFolderError, match=f"{path} is in use by another process: wait until it ends"):
            RunFolder.open(context)


HOLDER = """
import sys
from fairnad.settings.search_settings import RunContext
from store.run_folder import RunFolder

folder = RunFolder.open(RunContext.model_validate_json(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


def test_another_process_is_named_and_a_killed_one_holds_nothing(
    context: RunContext, path: Path, start: Callable[..., Any]
) -> None:
    holder = start(HOLDER, context.model_dump_json())
    assert holder.lines(1) == ["open"]
    with pytest.raises(RunFolderError, match=re.escape(f"{path} is in use by process {holder.pid}: wait until")):
        RunFolder.open(context)
    assert read_context(path) == context
    holder.kill()
    RunFolder.open(context).close()


def test_programs_that_outlive_the_run_do_not_hold_it(context: RunContext) -> None:
    folder = RunFolder.open(context)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False):
        folder.close()
        RunFolder.open(context).close()


def test_an_empty_folder_becomes_a_run(context: RunContext, path: Path) -> None:
    path.mkdir(parents=True)
    RunFolder.open(context).close()
    assert read_context(path) == context


def test_a_folder_with_other_files_is_refused_and_left_alone(context: RunContext, path: Path) -> None:
    path.mkdir(parents=True)
    (path / "thesis.tex").write_text("important")
    with pytest.raises(RunFolderError, match=r"found other files and no history.sqlite in .*; choose another --run"):
        RunFolder.open(context)
    assert [entry.name for entry in path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(context: RunContext, path: Path) -> None:
    path.parent.mkdir()
    path.write_text("a file")
    with pytest.raises(RunFolderError, match=f"expected a run folder, found a file: {path}; choose another --run"):
        RunFolder.open(context)


def test_a_history_without_its_settings_is_refused(
    context: RunContext, path: Path, make_record: Callable[..., Record]
) -> None:
    with RunFolder.open(context) as folder:
        folder.history.add_record(make_record())
    (path / "settings.toml").unlink()
    with pytest.raises(RunFolderError, match=r"expected the settings of a run, found no settings.toml in "):
        RunFolder.open(context)


def test_a_run_killed_before_its_settings_were_written_begins_anew(context: RunContext, path: Path) -> None:
    RunFolder.open(context).close()
    (path / "settings.toml").unlink()
    RunFolder.open(context).close()
    assert read_context(path) == context


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", "/tmp/x", "a/"])
def test_a_run_name_that_is_no_plain_name_is_refused(context: RunContext, name: str) -> None:
    with pytest.raises(SettingsError, match=f"--run must be a plain folder name, found '{name}'; --runs sets"):
        RunFolder.open(context.model_copy(update={"run": name}))


def test_a_place_that_cannot_be_made_is_one_line(context: RunContext, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/mine must be readable and writable, but: not a directory; "):
        RunFolder.open(context.model_copy(update={"runs": str(tmp_path / "file")}))


def test_settings_of_another_version_are_told(context: RunContext, path: Path) -> None:
    RunFolder.open(context).close()
    settings = path / "settings.toml"
    settings.write_text("temperature = 3\n" + settings.read_text())
    with pytest.raises(RunFolderError, match=r"was written by another version of this program: temperature: "):
        read_context(path)
    settings.write_text("= 3")
    with pytest.raises(RunFolderError, match=r"settings.toml must be the settings of a run as TOML, but: "):
        RunFolder.open(context)


def test_reading_the_settings_of_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=f"expected a run folder, found no settings.toml in {tmp_path}"):
        read_context(tmp_path)


def test_a_failed_opening_lets_go_of_the_folder(context: RunContext, path: Path) -> None:
    RunFolder.open(context).close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(SettingsError):
        RunFolder.open(context.model_copy(update={"seed": 9}))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    RunFolder.open(context).close()


def test_sources_are_exported_for_every_record(folder: RunFolder, make_record: Callable[..., Record]) -> None:
    folder.history.add_record(make_record(0, source="import torch\n# π\n"))
    folder.history.add_record(make_record(1, trained=False, source=""))
    folder.export()
    folder.export()
    files = {file.name: file.read_text(encoding="utf-8") for file in (folder.path / "sources").iterdir()}
    assert files == {"g01-fair-r1-s00-d0.py.txt": "import torch\n# π\n", "g01-fair-r1-s01-d0.py.txt": ""}


def test_an_export_onto_a_full_disk_is_one_line_and_keeps_the_last_one(
    folder: RunFolder, make_record: Callable[..., Record]
) -> None:
    folder.history.add_record(make_record(0, source="x" * 50_000))
    folder.export()
    folder.history.add_record(make_record(1, source="x" * 500_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match=r"s01-d0.py.txt must be readable and writable, but: file too large; "):
            folder.export()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    files = {file.name: file.stat().st_size for file in (folder.path / "sources").iterdir()}
    assert files == {"g01-fair-r1-s00-d0.py.txt": 50_000}


def test_a_run_may_begin_where_a_server_has_put_its_first_checkpoint(context: RunContext, path: Path) -> None:
    path.mkdir(parents=True)
    for name in ("checkpoints.sqlite", "checkpoints.sqlite-wal", "checkpoints.sqlite-shm"):
        (path / name).touch()
    RunFolder.open(context).close()
    assert read_context(path).run == "mine"


def test_own_ideas_are_none_until_there_is_a_file_and_a_broken_one_is_named(
    folder: RunFolder, path: Path, tree: AttributeTree
) -> None:
    assert folder.own_ideas(tree) == ()
    (path / "ideas.jsonl").write_text("{broken\n")
    with pytest.raises(IdeaFileError, match=r"ideas.jsonl, line 1"):
        folder.own_ideas(tree)
