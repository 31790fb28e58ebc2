"""Live progress of a search: a moving display on a terminal, one line a record elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fairnad.history import History, Record
from fairnad.settings import RunContext
from graphs.wording import duration_text, rate_text, record_line

STEPS = {"mutate", "execute", "debug", "measure", "downscale", "judge", "train", "record"}
ENDING = {"promote", "retrain", "finish"}


class Progress:
    """Follows the events of a running search; a context manager that owns the terminal while it is open."""

    def __init__(self, context: RunContext, history: History, console: Console | None = None) -> None:
        """Start from what a resumed run already has.

        Args:
            context: the settings of the run.
            history: its records so far.
            console: where to write; the terminal by default.
        """
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._context = context
        self._history = history
        self._num_before = len(history.trained)
        self._started = time.monotonic()
        self._steps: dict[str, str] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._history.records:
            self.say(f"resuming: {len(self._history.trained)} of {self._context.archs} candidates are trained")
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._display, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, message: str) -> None:
        """Print a line above the display."""
        self._console.print(message, markup=False)

    def task(self, event: Mapping[str, Any]) -> None:
        """Note that a step of a candidate begins, or one of the search's end."""
        state = event.get("input")
        if event.get("name") in STEPS and isinstance(state, Mapping) and "candidate_id" in state:
            self._steps[state["candidate_id"]] = event["name"]
        if event.get("name") in ENDING and "input" in event:
            self._end(event["name"])

    def _end(self, step: str) -> None:
        search = self._context.search
        if step == "promote" and search.promote:
            self.say(f"training the best again by {search.promote}")
        elif step == "retrain" and search.confirm_seeds:
            self.say(f"retraining base and finalists with {search.confirm_seeds} fresh seeds")
        elif step == "finish" and search.confirm_seeds:
            self.say("writing the result")

    def recorded(self, record: Record) -> None:
        """Print a line for a candidate that is done."""
        self._steps.pop(record.candidate_id, None)
        self._history = History([*self._history.records, record])
        self.say(f"{self._count():>7}  {record_line(record):<74}  {self._status()}")

    def _count(self) -> str:
        return f"{len(self._history.trained)}/{self._context.archs}"

    def _status(self) -> str:
        best = self._history.best
        accuracy = f"{best.evaluation.accuracy:.4f}" if best and best.evaluation else "-"
        return f"best {accuracy}  pass rate {rate_text(self._history.pass_rate())}  {self._time_left()}"

    def _time_left(self) -> str:
        num_done = len(self._history.trained) - self._num_before
        if not num_done:
            return ""
        seconds = (time.monotonic() - self._started) / num_done * (self._context.archs - len(self._history.trained))
        return f"{duration_text(seconds)} left"

    def _display(self) -> Group:
        num_trained = len(self._history.trained)
        table = Table.grid(padding=(0, 2))
        for candidate_id, step in sorted(self._steps.items()):
            table.add_row(f"  {candidate_id}", step)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total=self._context.archs, completed=num_trained, width=30), Text(self._count()), self._status()
        )
        return Group(head, table)
