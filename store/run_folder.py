"""The folder of one run: its settings, its results, and a lock for the one process that works on it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Self

import tomli_w
from pydantic import ValidationError

from fairnad.domain.task import TaskReport
from fairnad.errors import RunFolderError, SettingsError
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from fairnad.records.candidate import plain
from fairnad.settings.old_names import STORED
from fairnad.settings.search_settings import RunContext, changed_settings
from store.call_file import CALLS_NAME, RecordedCalls
from store.disk import disk_errors, lock, write_whole
from store.history_store import FILE_NAME, SqliteHistory
from store.idea_files import read_ideas
from store.ledger_store import LEDGER_NAME, SqliteLedger

SETTINGS_NAME = "settings.toml"
LOCK_NAME = "lock"
CHECKPOINTS_NAME = "checkpoints.sqlite"
OWN_IDEAS_NAME = "ideas.jsonl"


class RunFolder:
    """``runs/<name>/`` while this process works on it.

    ``history.sqlite`` is the source of truth; ``ledger.sqlite`` has the spending, ``settings.toml`` the settings,
    ``task.json`` a report of the data; ``checkpoints.sqlite`` belongs to LangGraph; ``ideas.jsonl`` has the
    user's own ideas, ``llm.jsonl`` every call of a language model; ``scratch/`` is for jobs, and emptied at each start;
    :meth:`export` writes ``sources/`` from the history. Only the result folder of the command line has files that
    end in ``.py``: a server that watches the folder would restart.
    """

    def __init__(self, path: Path, history: SqliteHistory, ledger: SqliteLedger, held: int) -> None:
        self.path = path
        self.history = history
        self.ledger = ledger
        self._held: int | None = held

    @classmethod
    def open(cls, context: RunContext) -> Self:
        """Open or create the folder of a run, and lock it until it is closed.

        Raises:
            RunFolderError: another process works on it, it has another version, or it is not a run folder.
            SettingsError: settings differ that may not change within a run.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        path = run_path(context)
        with contextlib.ExitStack() as undo:
            with disk_errors(path):
                _check_is_run(path)
                path.mkdir(parents=True, exist_ok=True)
                held = _lock(path)
            undo.callback(os.close, held)
            history = SqliteHistory(path / FILE_NAME)
            undo.callback(history.close)
            _settle(path, history, context)
            ledger = SqliteLedger(path / LEDGER_NAME)
            undo.callback(ledger.close)
            folder = cls(path, history, ledger, held)
            folder._empty_scratch()
            undo.pop_all()
        return folder

    def _empty_scratch(self) -> None:
        with disk_errors(self.scratch):
            if self.scratch.exists():
                shutil.rmtree(self.scratch)
            self.scratch.mkdir()

    @property
    def checkpoints(self) -> Path:
        """LangGraph's checkpoints."""
        return self.path / CHECKPOINTS_NAME

    def call_log(self, pack_digest: str) -> RecordedCalls:
        """The log of language-model calls; ``llm.jsonl`` is repaired if necessary.

        Raises:
            StorageError: the disk is full, or the file cannot be read or written.
        """
        return RecordedCalls(self.history, self.path / CALLS_NAME, pack_digest)

    def own_ideas(self, tree: AttributeTree) -> tuple[Idea, ...]:
        """The ideas that a user added to this run, in order.

        Raises:
            IdeaFileError: the file holds something else.
        """
        path = self.path / OWN_IDEAS_NAME
        return read_ideas(path, tree) if path.exists() else ()

    @property
    def scratch(self) -> Path:
        """A folder for the files of jobs, emptied at every start."""
        return self.path / "scratch"

    def note_task(self, report: TaskReport) -> None:
        """Write ``task.json``: counts of images, classes and skipped files.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
        """
        write_whole(self.path / "task.json", [json.dumps(plain(report), indent=1, ensure_ascii=False), "\n"])

    def export(self) -> None:
        """Write ``sources/<candidate id>.py.txt`` from the history.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
        """
        sources = self.path / "sources"
        with disk_errors(sources):
            sources.mkdir(exist_ok=True)
        for record in self.history.records():
            # Not .py: a development server that watches the folder would restart.
            write_whole(sources / f"{record.candidate_id}.py.txt", [record.source])

    def close(self) -> None:
        """Close the files and release the lock; a second call does nothing."""
        self.history.close()
        self.ledger.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_context(path: Path) -> RunContext:
    """The settings of the run in folder ``path``, also while another process works on it.

    Raises:
        RunFolderError: the folder has no settings, or those of another version.
        StorageError: the file cannot be read.
    """
    settings = path / SETTINGS_NAME
    if not settings.is_file():
        raise RunFolderError(f"expected a run folder, found no {SETTINGS_NAME} in {path}")
    with disk_errors(settings):
        content = settings.read_bytes()
    try:
        return RunContext.model_validate(tomllib.loads(content.decode()), context=STORED)
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(str(part) for part in fault["loc"])
        reason = f"{name}: {fault['msg']}"
        raise RunFolderError(f"{settings} was written by another version of this program: {reason}") from error
    except ValueError as error:
        raise RunFolderError(f"{settings} must be the settings of a run as TOML, but: {error}") from error


def refuse_changes(path: Path, context: RunContext) -> None:
    """Refuse settings that may not change within the run in folder ``path``.

    Raises:
        SettingsError: settings differ that may not change within a run; the message names them.
        RunFolderError: the folder has no settings, or those of another version.
    """
    changed = changed_settings(read_context(path), context)
    if changed:
        raise SettingsError(
            f"{path} was started with other settings: {', '.join(changed)}; "
            "resume it with its own settings, or choose another --run"
        )


def refuse_changes_of_run(context: RunContext) -> None:
    """As :func:`refuse_changes`, for a run that may be new; checked before any data is read.

    Raises:
        SettingsError: the run's name is not a plain folder name, or settings differ that may not change.
        RunFolderError: the folder's settings are those of another version.
    """
    path = run_path(context)
    if (path / SETTINGS_NAME).is_file():
        refuse_changes(path, context)


def run_path(context: RunContext) -> Path:
    """The folder of the run of these settings, which may not exist yet.

    Raises:
        SettingsError: the run's name is not a plain folder name.
    """
    name = context.run_name
    if Path(name).name != name or name == ".." or not name.isprintable():
        raise SettingsError(f"--run must be a plain folder name, found {name!r}; --runs sets its parent")
    return Path(context.runs) / name


def _check_is_run(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise RunFolderError(f"expected a run folder, found a file: {path}; choose another --run")
    # A server stores its first checkpoint before the run begins.
    begun = {LOCK_NAME, *(f"{CHECKPOINTS_NAME}{suffix}" for suffix in ("", "-wal", "-shm"))}
    if not (path / FILE_NAME).exists() and {entry.name for entry in path.iterdir()} - begun:
        raise RunFolderError(
            f"expected a run folder, found other files and no {FILE_NAME} in {path}; choose another --run"
        )


def _lock(path: Path) -> int:
    file = path / LOCK_NAME
    file.touch()
    try:
        held = lock(file, wait=False)
    except BlockingIOError as error:
        holder = file.read_text().strip()
        whom = f"process {holder}" if holder else "another process"
        raise RunFolderError(f"{path} is in use by {whom}: wait until it ends, or choose another --run") from error
    try:
        file.write_text(f"{os.getpid()}\n")
    except OSError:
        os.close(held)
        raise
    return held


def _settle(path: Path, history: SqliteHistory, context: RunContext) -> None:
    settings = path / SETTINGS_NAME
    text = tomli_w.dumps(_without_credentials(context).model_dump(mode="json", exclude_none=True))
    if settings.exists():
        refuse_changes(path, context)
        with disk_errors(settings):
            if settings.read_text(encoding="utf-8") == text:
                return
    elif history.records():
        raise RunFolderError(
            f"expected the settings of a run, found no {SETTINGS_NAME} in {path}; choose another --run"
        )
    write_whole(settings, [text], durable=True)


def _without_credentials(context: RunContext) -> RunContext:
    llm, embedding = context.llm, context.embedding
    models = tuple(one.model_copy(update={"base_url": _without_login(one.base_url)}) for one in llm.models)
    llm = llm.model_copy(update={"models": models})
    embedding = embedding.model_copy(update={"base_url": _without_login(embedding.base_url)})
    return context.model_copy(update={"llm": llm, "embedding": embedding})


def _without_login(url: str) -> str:
    return re.sub(r"(?<=//)[^/?#]*@", "", url)
