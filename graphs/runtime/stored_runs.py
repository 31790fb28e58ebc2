"""Reads run folders, during and after a search; never writes."""

from __future__ import annotations

import contextlib
import difflib
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from fairnad.domain.budget import Budget
from fairnad.errors import RunFolderError, SettingsError, UserError
from fairnad.records.history import History, Record
from fairnad.search.finals import Finals
from fairnad.settings.search_settings import RunContext
from graphs.runtime.ending import is_stalled
from graphs.runtime.limits import read_budgets, resolve_budgets
from graphs.runtime.stored_finals import find_finals
from store.history_store import FILE_NAME, SqliteHistory
from store.holder import find_holder
from store.run_folder import read_context


class RunState(StrEnum):
    """The state of a run."""

    RUNNING = "running"
    """a process runs it"""
    FINISHED = "finished"
    """it has trained the requested number of candidates"""
    STALLED = "stalled"
    """no candidate trained in its last draws"""
    STOPPED = "stopped"
    """it was interrupted; the same command resumes it"""


@dataclass(frozen=True)
class StoredRun:
    """A run folder that is open for reading."""

    path: Path
    context: RunContext
    store: SqliteHistory
    history: History

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    @property
    def budgets(self) -> Sequence[Budget]:
        """The limits; empty if unknown, see :attr:`why_no_budgets`."""
        return self._budgets[0]

    @property
    def why_no_budgets(self) -> str:
        """Why the limits are unknown, in one line; empty if they are known."""
        return self._budgets[1]

    @cached_property
    def _budgets(self) -> tuple[Sequence[Budget], str]:
        try:
            return self.read_budgets(), ""
        except UserError as error:
            return (), f"the limits are unknown: {error}"

    def read_budgets(self) -> Sequence[Budget]:
        """The stored limits; runs of versions that did not store them use the task's limits.

        Raises:
            UserError: the pack or the task of the run no longer exists.
        """
        stored = read_budgets(self.store)
        if stored:
            return stored
        from prompts.loader import load_pack

        pack = load_pack(self.context.pack)
        if self.context.task not in pack.tasks:
            raise SettingsError(f"the run is of task {self.context.task}, which the pack {pack.name} no longer has")
        defaults = pack.tasks[self.context.task]
        return resolve_budgets(self.context, defaults, self.context.image_size or defaults.image_size)

    @cached_property
    def finals(self) -> Finals | None:
        """The finals, ``None`` before the end."""
        return find_finals(self.store, self.history)

    @property
    def best(self) -> Record | None:
        """The winner of the finals; before them, the best of the search: see :attr:`best_by`."""
        return self.history[self.finals.winner_id] if self.finals else self.history.best

    @property
    def best_by(self) -> str:
        """The source of :attr:`best`: ``finals`` or ``search``."""
        return "finals" if self.finals else "search"

    @property
    def state(self) -> RunState:
        """The state of the run."""
        if find_holder(self.path) is not None:
            return RunState.RUNNING
        if len(self.history.trained) >= self.context.archs and self.store.status():
            return RunState.FINISHED
        return RunState.STALLED if is_stalled(self.store) else RunState.STOPPED

    def find(self, text: str) -> str:
        """The id of the candidate that matches a text.

        Args:
            text: ``base``, ``best``, an id, or some of its parts in order (``fair-s3``).

        Raises:
            SettingsError: the text matches no candidate, or several.
        """
        ids = self.store.candidate_ids()
        if text in ids:
            return text
        if text == "best" and self.best is not None:
            return self.best.candidate_id
        found = [candidate_id for candidate_id in ids if _fits(text, candidate_id)]
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join(found[:4]) + (", …" if len(found) > 4 else "")
            raise SettingsError(f"{text} matches {len(found)} candidates of run {self.name}: {some}; use a longer part")
        alike = [candidate_id for candidate_id in ids if _fits(text, candidate_id, _is_alike)]
        near = difflib.get_close_matches(text, alike, n=1, cutoff=0.0)
        advice = f"did you mean {near[0]}?" if near else f"it has {len(ids)}"
        raise SettingsError(f"run {self.name} has no candidate {text}; {advice}")


Part = tuple[str, int | None]


def _fits(text: str, candidate_id: str, is_same: Callable[[Part, Part], bool] = operator.eq) -> bool:
    """Whether the id contains the parts of ``text`` in the same order; 3 and 03 are equal."""
    parts = iter(_parts(candidate_id))
    return all(any(is_same(wanted, part) for part in parts) for wanted in _parts(text))


def _is_alike(wanted: Part, part: Part) -> bool:
    """Whether two parts have similar letters; numbers are ignored."""
    return wanted[0] == part[0] or bool(difflib.get_close_matches(wanted[0], [part[0]], cutoff=0.6))


def _parts(text: str) -> list[Part]:
    parts = [re.fullmatch(r"([a-z]*?)([0-9]*)", part) for part in text.lower().split("-")]
    return [(part[1], int(part[2]) if part[2] else None) if part else (text, None) for part in parts]


@contextlib.contextmanager
def open_run(path: Path) -> Iterator[StoredRun]:
    """Open a run folder for reading.

    Raises:
        RunFolderError: the folder is not a run folder, or has another version.
        StorageError: it cannot be read.
    """
    context = read_context(path)
    with contextlib.closing(SqliteHistory(path / FILE_NAME, read_only=True)) as store:
        yield StoredRun(path, context, store, History(store.records()))


def find_run(runs: Path, name: str) -> Path:
    """The folder of a run; the run used last if ``name`` is empty.

    Raises:
        RunFolderError: the run is unknown (the message names the nearest), or there are no runs.
    """
    folders = {path.name: path for path in run_folders(runs)}
    if not folders:
        raise RunFolderError(f"expected run folders in {runs}, found none: start a search, or set --runs")
    if not name:
        return max(folders.values(), key=last_change)
    if name not in folders:
        near = difflib.get_close_matches(name, folders, n=1, cutoff=0.4)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(folders))}"
        raise RunFolderError(f"there is no run {name} in {runs}; {advice}")
    return folders[name]


def run_folders(runs: Path) -> list[Path]:
    """All folders in ``runs`` by name, without hidden ones."""
    if not runs.is_dir():
        return []
    return sorted(path for path in runs.iterdir() if path.is_dir() and not path.name.startswith("."))


def last_change(path: Path) -> float:
    """The time of the last write to the history of a run, in seconds since 1970; 0 without a history."""
    changes = [0.0]
    for file in (path / FILE_NAME, path / f"{FILE_NAME}-wal"):
        with contextlib.suppress(FileNotFoundError):  # the second one comes and goes with the search
            changes.append(file.stat().st_mtime)
    return max(changes)
