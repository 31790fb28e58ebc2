"""One checkpointer over the files of all runs: each thread lies where its run does."""

from __future__ import annotations

from pathlib import Path

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from fairnad.errors import RunFolderError
from graphs.runtime.checkpointer import make, newest_thread, thread_id


def config(thread: str, **told: object) -> dict[str, dict[str, object]]:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", **told}}


@pytest.fixture
async def checkpointer(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRNAD_RUNS", str(tmp_path))
    async with make() as opened:
        yield opened


async def put(saver, thread: str, **told: object) -> str:
    stored = await saver.aput(config(thread, **told), empty_checkpoint(), {"step": 0}, {})
    return stored["configurable"]["checkpoint_id"]


@pytest.mark.parametrize(
    ("told", "folder"),
    [
        ({"graph_id": "search", "run": "mine"}, "mine"),
        ({"graph_id": "search", "task": "cifar10", "seed": 3}, "t"),
        ({"graph_id": "search", "run": "../mine"}, ".server"),
        ({"graph_id": "candidate", "run": "mine"}, ".server"),
    ],
)
async def test_a_new_thread_lies_where_its_settings_say(checkpointer, tmp_path, told, folder):
    name = await put(checkpointer, "t", **{"runs": str(tmp_path), **told})
    assert newest_thread(tmp_path / folder / "checkpoints.sqlite") == "t"
    found = await checkpointer.aget_tuple(config("t"))
    assert found.checkpoint["id"] == name
    assert [entry.checkpoint["id"] async for entry in checkpointer.alist(config("t"))] == [name]


async def test_without_settings_a_thread_lies_in_the_servers_folder_and_one_of_the_command_line_in_its_run(
    checkpointer, tmp_path
):
    for thread, told, folder in (("t", {}, "t"), (thread_id("cifar10-3"), {"task": "cifar10", "seed": 3}, "cifar10-3")):
        await put(checkpointer, thread, graph_id="search", **told)
        assert newest_thread(tmp_path / folder / "checkpoints.sqlite") == thread


async def test_what_a_task_writes_may_come_before_its_checkpoint(checkpointer, tmp_path):
    told = {"graph_id": "search", "run": "mine", "runs": str(tmp_path), "checkpoint_id": "c"}
    await checkpointer.aput_writes(config("t", **told), [("channel", 1)], "task")
    await put(checkpointer, "t", **told)
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


async def test_a_thread_of_the_command_line_is_found_in_its_folder(checkpointer, tmp_path):
    (tmp_path / "shell").mkdir()
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "shell" / "checkpoints.sqlite")) as saver:
        name = await put(saver, thread_id("shell"))
    found = await checkpointer.aget_tuple(config(thread_id("shell")))
    assert found.checkpoint["id"] == name
    await checkpointer.adelete_thread(thread_id("shell"))
    assert await checkpointer.aget_tuple(config(thread_id("shell"))) is None


async def test_a_thread_that_nobody_began_is_nowhere(checkpointer, tmp_path):
    assert await checkpointer.aget_tuple(config("nobody")) is None
    assert [entry async for entry in checkpointer.alist(config("nobody"))] == []
    await checkpointer.adelete_thread("nobody")
    assert list(tmp_path.iterdir()) == []


async def test_the_newest_thread_is_the_one_that_was_worked_on_last(tmp_path):
    path: Path = tmp_path / "checkpoints.sqlite"
    assert newest_thread(path) == ""
    path.touch()
    assert newest_thread(path) == ""
    async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
        await put(saver, "old")
        await put(saver, "new")
    assert newest_thread(path) == "new"


async def test_a_damaged_file_is_told_and_the_threads_of_other_runs_are_found(checkpointer, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "checkpoints.sqlite").write_bytes(b"rubbish " * 1000)
    with pytest.raises(RunFolderError, match=r"a/checkpoints.sqlite should hold .*: file is not a database; remove it"):
        newest_thread(tmp_path / "a" / "checkpoints.sqlite")
    await put(checkpointer, "t", graph_id="search", run="b", runs=str(tmp_path))
    async with make() as another:
        assert await another.aget_tuple(config("t")) is not None
