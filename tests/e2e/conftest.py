"""Whole searches on a task that trains in a second, with a scripted language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from fairnad.records.history import History, Record
from fairnad.settings.search_settings import RunContext
from graphs.cli.search_command import parse
from prompts.loader import load_pack
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.tiny_pack import write_pack
from tests.warm_servers import warm_servers
from tools.sandbox.landlock import abi


@pytest.fixture(scope="session", autouse=True)
def warm_fork_servers() -> Iterator[None]:
    """Searches in this process share fork servers."""
    with warm_servers():
        yield


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vision pack with a tiny task and a tiny base of 1,506 parameters."""
    folder = write_pack(tmp_path_factory.mktemp("pack") / "tiny")
    load_pack(str(folder))
    return folder


@pytest.fixture
def flags(pack: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Flags of a search in this test's own folder: one candidate, one epoch, nothing confirmed."""

    return lambda **settings: search_flags({"pack": pack, "runs": tmp_path / "runs", **settings})


def search_flags(settings: Mapping[str, object]) -> list[str]:
    """Flags of the search ``test``: one candidate, one epoch, nothing confirmed, and whatever is given."""
    defaults: dict[str, object] = {
        "agents.mode": "paper",  # every role asks the script, unless a test is about mixes
        "run": "test",
        "epochs": 1,
        "archs": 1,
        "search.initial": 1,
        "search.confirm_seeds": 0,
        "lab.slots": 2,
        # The best level whose fork server can serve one search after the other.
        "lab.isolation": "C" if abi() else "auto",
    }
    given = {name.replace("__", "."): value for name, value in settings.items()}
    merged = defaults | given
    return [part for name, value in merged.items() for part in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture
def context(flags: Callable[..., list[str]]) -> Callable[..., RunContext]:
    """The same as settings."""
    return lambda **settings: parse(flags(**settings))


@pytest.fixture
def history(tmp_path: Path) -> Callable[..., History]:
    """Reads the history of this test's run."""

    def read(run: str = "test") -> History:
        return History(records(tmp_path / "runs" / run))

    return read


def records(folder: Path) -> Iterator[Record]:
    """The records of a run folder, also while it is in use."""
    store = SqliteHistory(folder / FILE_NAME, read_only=True)
    try:
        yield from store.records()
    finally:
        store.close()
