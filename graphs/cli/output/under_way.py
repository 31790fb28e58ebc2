"""The work in progress of a search, as rows for the display and as a line for a log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from fairnad.formatting import duration_text

STEPS = {"mutate", "execute", "debug", "measure", "downscale", "judge", "train", "record"}
_QUEUED = "queued"
_NAMES = {
    "open": "opening the run",
    "promote": "promotion",
    "retrain": "finals",
    "hold out": "scoring held-out images",
    "write": "result",
}
_MAX_ROWS = 8


class _Step(NamedTuple):
    name: str
    since: float
    expected_seconds: float | None = None


class UnderWay:
    """The candidates in progress and the work at the end of a search, by their last events."""

    def __init__(self) -> None:
        """Start empty."""
        self._steps: dict[str, _Step] = {}
        self._ending: Mapping[str, Any] | None = None
        self._described = 0.0
        self._writing: dict[str, float] = {}
        self._wrote = ""

    def begin(self, candidate_id: str, step: str) -> None:
        """A candidate begins a step; a training first waits for its slot."""
        self._steps[candidate_id] = _Step(_QUEUED if step == "train" else step, time.monotonic())

    def end(self, candidate_id: str) -> None:
        """A candidate is recorded."""
        self._steps.pop(candidate_id, None)

    def update(self, progress: Mapping[str, Any]) -> None:
        """Apply a progress event, see :mod:`graphs.runtime.progress_events`."""
        now, doing = time.monotonic(), progress["doing"]
        if doing not in STEPS:
            self._ending = progress if progress["num_done"] < progress["num_all"] else None
            self._described = now
            if doing == "write":
                self._note_files(progress["running"], now)
            return
        for name, pieces in ((_QUEUED, progress["queued"]), (doing, progress["running"])):
            for piece in pieces:
                step = _Step(name, now - piece["elapsed_seconds"], piece["expected_seconds"])
                self._steps[piece["candidate_id"]] = step

    @property
    def counts(self) -> tuple[int, int] | None:
        """(done, all) pieces of the work at the end; ``None`` during the search."""
        return (self._ending["num_done"], self._ending["num_all"]) if self._ending else None

    def headline(self) -> str:
        """The work at the end in a few words."""
        assert self._ending is not None, "only the end of a search has a headline"
        return f"{_NAMES[self._ending['doing']]}  {self._left_text()}".rstrip()

    def rows(self) -> Iterator[str]:
        """Rows for running pieces, the longest first, then for waiting ones."""
        if self._ending is not None:
            yield from self._ending_rows(self._ending)
            return
        # A copy, because another thread draws the display.
        steps = sorted(self._steps.copy().items(), key=lambda item: (item[1].name == _QUEUED, item[1].since))
        for candidate_id, step in steps[:_MAX_ROWS]:
            seconds, expected = time.monotonic() - step.since, step.expected_seconds
            yield f"  {candidate_id:<21}  {step.name:<9}  {_elapsed_text(seconds, expected, step.name)}"
        if len(steps) > _MAX_ROWS:
            yield f"  and {len(steps) - _MAX_ROWS} more"

    def line(self, progress: Mapping[str, Any]) -> str:
        """The line for a log after a progress event; empty if nothing is in progress."""
        if progress["doing"] not in STEPS:
            return _ending_line(progress, self._wrote)
        counts = Counter(step.name for step in self._steps.values())
        return f"in progress: {', '.join(f'{count} {name}' for name, count in counts.items())}" if counts else ""

    def _note_files(self, pieces: Iterable[Mapping[str, Any]], now: float) -> None:
        """Record when each file was started; a file that is no longer in progress is written."""
        running = {piece["file"]: now - piece["elapsed_seconds"] for piece in pieces}
        for file, since in self._writing.items():
            if file not in running:
                self._wrote = f"wrote {file}, {duration_text(now - since)}"
        self._writing = running

    def _ending_rows(self, ending: Mapping[str, Any]) -> Iterator[str]:
        later = time.monotonic() - self._described
        for piece in ending["running"][:_MAX_ROWS]:
            elapsed = _elapsed_text(piece["elapsed_seconds"] + later, piece["expected_seconds"])
            yield f"  {_piece_text(piece)}  {elapsed}"
        rest = [(len(ending["running"][_MAX_ROWS:]), "more"), (len(ending["queued"]), _QUEUED)]
        if texts := [f"{count} {name}" for count, name in rest if count]:
            yield f"  and {', '.join(texts)}"

    def _left_text(self) -> str:
        assert self._ending is not None, "only the end of a search has a headline"
        seconds = self._ending["seconds_left"]
        if seconds is None:
            return ""
        return f"{duration_text(max(seconds - (time.monotonic() - self._described), 0.0))} left"


def _ending_line(progress: Mapping[str, Any], wrote: str) -> str:
    """A progress event at the end of a search as a line; ``wrote`` is the line while files have only started."""
    running, queued, seconds = progress["running"], progress["queued"], progress["seconds_left"]
    if progress["doing"] == "write":
        files = [(piece["file"], piece["elapsed_seconds"]) for piece in running if piece["elapsed_seconds"] >= 1.0]
        return "; ".join(f"writing {file}, {duration_text(seconds)}" for file, seconds in files) or wrote
    parts = [f"{progress['num_done']} of {progress['num_all']} done"]
    parts += [f"{len(pieces)} {name}" for pieces, name in ((running, "running"), (queued, _QUEUED)) if pieces]
    parts += [f"about {duration_text(seconds)} left"] if seconds else []
    return f"{_NAMES[progress['doing']]}: {', '.join(parts)}"


def _piece_text(piece: Mapping[str, Any]) -> str:
    if "candidate_id" in piece:
        return f"{piece['candidate_id']:<21}  seed {piece['seed']:<4}"
    return f"{piece.get('file') or piece['run']:<21}"


def _elapsed_text(seconds: float, expected: float | None, step: str = "") -> str:
    text = f"{duration_text(seconds):>6}"
    return text if expected is None or step == _QUEUED else f"{text} of about {duration_text(expected)}"
