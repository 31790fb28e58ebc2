"""Checks the idea index and the run folders, and which process holds them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from fairnad.errors import EndpointError, RunFolderError, UserError
from fairnad.settings.search_settings import RunContext
from graphs.cli.doctor import Finding, fail, ok, warn
from graphs.runtime.idea_base import find_ideas, load_ideas
from graphs.runtime.inputs import check_pack
from graphs.runtime.stored_runs import open_run, run_folders
from store.history_store import FILE_NAME
from store.holder import Holder, find_holder
from store.run_folder import LOCK_NAME, refuse_changes, run_path


def examine_stores(context: RunContext) -> list[Finding]:
    """Findings about the ideas, the run of these settings, and all other runs."""
    return [*_ideas(context), *_this_run(context), *_runs(Path(context.runs))]


def _ideas(context: RunContext) -> Iterator[Finding]:
    from prompts.loader import load_pack

    try:
        store = find_ideas(context, load_ideas(context, load_pack(context.pack)))
        began = time.monotonic()
        was_whole = store.is_indexed()
        if was_whole:
            store.search("a network", limit=1)
        store.close()
        seconds = time.monotonic() - began
    except (UserError, EndpointError) as error:
        yield fail("ideas", str(error), "correct it, or choose other ideas with --ideas")
        return
    state = "the index is up to date" if was_whole else "the index will be built when a search starts"
    yield ok("ideas", f"{len(store)}, read in {seconds:.1f} s; {state}")


def _this_run(context: RunContext) -> Iterator[Finding]:
    from prompts.loader import load_pack

    try:
        path = run_path(context)
        if not (path / FILE_NAME).exists():
            yield ok("run", f"{path} is new")
            return
        with open_run(path) as run:
            refuse_changes(path, context)
            if run.history.records:
                check_pack(run.store, load_pack(context.pack), path)
            trained = f"{len(run.history.trained)} of {context.archs} trained"
    except UserError as error:
        yield fail("run", str(error), "choose another --run, or its original settings")
        return
    holder = find_holder(path)
    if holder is not None:
        yield warn(
            "run", f"{path}: {trained}; in use by {_name(holder)}", "wait until it ends, or choose another --run"
        )
    else:
        yield ok("run", f"{path}: {trained}; the same command resumes it")


def _runs(runs: Path) -> Iterator[Finding]:
    """A finding for each folder that needs attention, and one for all others."""
    num_readable = 0
    for path in run_folders(runs):
        try:
            with open_run(path):
                num_readable += 1
        except RunFolderError as error:
            yield warn(path.name, str(error), f"remove or move {path}")
            continue
        except UserError as error:
            yield warn(path.name, str(error), "change its permissions")
            continue
        yield from _lock(path)
    yield ok("runs", f"{num_readable} readable in {runs}")


def _lock(path: Path) -> Iterator[Finding]:
    holder = find_holder(path)
    if holder is None:
        return
    if holder.is_alive:
        yield ok(path.name, f"in use by {_name(holder)}")
    else:
        advice = f"a child process or another machine may hold it: fuser {shlex.quote(str(path / LOCK_NAME))}"
        yield warn(path.name, f"locked, but {_name(holder)} has ended", advice)


def _name(holder: Holder) -> str:
    return f"process {holder.pid}" if holder.pid is not None else "another process"
