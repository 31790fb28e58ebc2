"""Progress of a running search: a live display on a terminal, one line per record in a log."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fairnad.formatting import count_text, duration_text, rate_text, record_line
from fairnad.records.candidate import Stage
from fairnad.records.history import History, Record, better
from graphs.cli.arguments import Presentation
from graphs.cli.output.events import JsonEvents
from graphs.cli.output.summary import print_summary
from graphs.cli.output.terminal import make_console, moves
from graphs.cli.output.under_way import STEPS, UnderWay
from graphs.runtime.training_forecast import Forecast, forecast

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices

ENDING = {"promote", "retrain", "finish"}
LOG_SECONDS = 10.0
"""Seconds without output until a log gets a line about the work in progress."""
_MAX_BAR, _MIN_BAR = 30, 8


class Follower(Protocol):
    """Receives the events of a search and shows them; a context manager, open while the search runs."""

    def __enter__(self) -> Self:
        """The search starts or is resumed."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The search has ended, for any reason."""

    def task(self, event: Mapping[str, Any]) -> None:
        """A step of a candidate or of the end of the search begins."""

    def working(self, progress: Mapping[str, Any]) -> None:
        """Long work progresses, see :mod:`graphs.runtime.progress_events`."""

    def recorded(self, record: Record) -> None:
        """A candidate is recorded."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Leave the terminal to a review until the context ends."""

    def stopping(self, grace_seconds: float) -> None:
        """The search stops: it begins no new work."""

    def stopped(self, signal_number: int, folder: Path) -> None:
        """The search was stopped by a signal and can be resumed."""

    def limited(self, reason: str, folder: Path) -> None:
        """The search reached a limit and can be resumed under a higher one; ``reason`` is one line."""

    def finished(self, history: History, outcome: Mapping[str, Any]) -> None:
        """The search has finished or is stalled."""


def follow(run: RunServices, history: History, presentation: Presentation) -> Follower:
    """The follower for this presentation."""
    if presentation.json:
        return JsonEvents(run, history)
    return Quiet(run) if presentation.quiet else Progress(run, history)


class Progress:
    """Shows a live display on a terminal, and lines in a log."""

    def __init__(self, run: RunServices, history: History, console: Console | None = None) -> None:
        """Start from the history of a new or resumed run.

        Args:
            run: the services of the run.
            history: its records so far.
            console: where to write; stdout by default.
        """
        self._console = console or make_console()
        self._run = run
        self._archs = run.context.archs
        self._history = history
        self._num_before = len(history.trained)
        self._started = time.monotonic()
        self._last_line = self._started
        self._counted = ("", 0)
        self._under_way = UnderWay()
        self._was_finished = self._num_before >= self._archs and run.folder.history.status() == "finished"
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._history.records:
            self.say(f"resuming: {self._resumed()}")
            self._print_forecast()
        if moves(self._console):
            # Transient: only the lines of a log stay on the screen.
            self._live = Live(get_renderable=self._display, console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, message: str, style: str = "") -> None:
        """Print a line, above the display."""
        self._console.print(Text(message, style))
        self._last_line = time.monotonic()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the display during a review."""
        if self._live is not None:
            self._live.stop()
        yield
        if self._live is not None:
            self._live.start()

    def task(self, event: Mapping[str, Any]) -> None:
        """Update the display; print a line for the steps at the end of the search."""
        state = event.get("input")
        if event.get("name") in STEPS and isinstance(state, Mapping) and "candidate_id" in state:
            self._under_way.begin(state["candidate_id"], event["name"])
        if event.get("name") in ENDING and "input" in event:
            self._end(event["name"])

    def working(self, progress: Mapping[str, Any]) -> None:
        """Update the display; in a log, print a line if a piece is done, or if the last line is old."""
        self._under_way.update(progress)
        if self._live is not None:
            return
        count = (progress["doing"], progress["num_done"])
        is_news = progress["doing"] not in {*STEPS, "write"} and progress["num_done"] and count != self._counted
        self._counted = count
        line = self._under_way.line(progress)
        if line and (is_news or time.monotonic() - self._last_line >= LOG_SECONDS):
            self.say(f"  {line}")

    def _end(self, step: str) -> None:
        search = self._run.context.search
        if self._was_finished:
            return  # the results are stored already
        if step == "promote" and search.promote:
            self.say(f"retraining the best candidates with {search.promote}")
        elif step == "retrain" and search.confirm_seeds:
            self.say(f"retraining base and finalists with {count_text(search.confirm_seeds, 'fresh seed')}")
        elif step == "finish" and search.confirm_seeds:
            self.say("writing the result")

    def recorded(self, record: Record) -> None:
        """Print a line; after the base, also the forecast."""
        self._under_way.end(record.candidate_id)
        before = self._history.best
        self._history = History([*self._history.records, record])
        line = f"{self._count():>7}  {record_line(record)}"
        if self._live is None:
            line = f"{line:<83}  {self._status()}".rstrip()
        is_ahead = record.trained and before is not None and better(record, before)
        self.say(line, "bold green" if is_ahead else "" if record.trained else "dim")
        if record.stage is Stage.BASE:
            self._print_forecast()

    def stopping(self, grace_seconds: float) -> None:
        """Print how long running jobs may take."""
        self.say(f"stopping: running jobs get {grace_seconds:g} s (--grace-seconds)")

    def stopped(self, signal_number: int, folder: Path) -> None:
        """Say how to go on."""
        self.say(f"stopped; nothing is lost. Run the same command again to resume {folder}")

    def limited(self, reason: str, folder: Path) -> None:
        """Say which limit, and how to go on."""
        self.say(f"stopped: {reason}")

    def finished(self, history: History, outcome: Mapping[str, Any]) -> None:
        """Print the result."""
        print_summary(self._run, history, outcome, self._console)

    def _resumed(self) -> str:
        num_trained = len(self._history.trained)
        if num_trained <= self._archs:
            done = f"{num_trained} of {self._archs} candidates are trained"
            return f"{done}; the run is finished, a higher --archs continues it" if self._was_finished else done
        return f"{num_trained} candidates are trained, --archs {self._archs} needs no more"

    def _print_forecast(self) -> None:
        ahead = self._forecast()
        if ahead is not None:
            self.say(f"forecast: {ahead}")

    def _forecast(self) -> Forecast | None:
        run = self._run
        return forecast(run.context, run.budgets, self._history, run.lab.num_slots, run.recipes)

    def _count(self) -> str:
        return f"{len(self._history.trained)}/{self._archs}"

    def _status(self) -> str:
        best = self._history.best
        accuracy = f"{best.evaluation.accuracy:.4f}" if best and best.evaluation else "-"
        return f"best {accuracy}  pass rate {rate_text(self._history.pass_rate())}  {self._time_left()}"

    def _time_left(self) -> str:
        if len(self._history.trained) >= self._archs:
            return ""
        num_done = len(self._history.trained) - self._num_before
        if num_done < self._run.lab.num_slots:  # too few for an estimate: the slots train that many in parallel
            ahead = self._forecast()
            return f"{duration_text(ahead.seconds)} left" if ahead else ""
        seconds = (time.monotonic() - self._started) / num_done * (self._archs - len(self._history.trained))
        return f"{duration_text(seconds)} left"

    def _display(self) -> Group:
        rows = (Text(row, no_wrap=True, overflow="crop") for row in self._under_way.rows())
        return Group(self._head(), *rows)

    def _head(self) -> Table:
        num_done, num_all = self._under_way.counts or (len(self._history.trained), self._archs)
        count = f"{num_done}/{num_all}"
        status = self._under_way.headline() if self._under_way.counts else self._status().rstrip()
        room = min(self._console.width - len(count) - len(status) - 6, _MAX_BAR)
        head = Table.grid(padding=(0, 2))
        cells: list[Any] = [Text(count, no_wrap=True), Text(status, no_wrap=True, overflow="ellipsis")]
        if room >= _MIN_BAR:
            cells.insert(0, ProgressBar(total=num_all, completed=num_done, width=room))
        head.add_row(*cells)
        return head


class Quiet:
    """Prints only the result on stdout, and on stderr why a search stopped."""

    def __init__(self, run: RunServices) -> None:
        self._run = run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def task(self, event: Mapping[str, Any]) -> None:
        """Nothing."""

    def working(self, progress: Mapping[str, Any]) -> None:
        """Nothing."""

    def recorded(self, record: Record) -> None:
        """Nothing."""

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: there is no display."""
        return contextlib.nullcontext()

    def stopping(self, grace_seconds: float) -> None:
        """Nothing."""

    def stopped(self, signal_number: int, folder: Path) -> None:
        """Say how to go on."""
        print(f"stopped; nothing is lost. Run the same command again to resume {folder}", file=sys.stderr)

    def limited(self, reason: str, folder: Path) -> None:
        """Say which limit, and how to go on."""
        print(f"stopped: {reason}", file=sys.stderr)

    def finished(self, history: History, outcome: Mapping[str, Any]) -> None:
        """Print the result."""
        print_summary(self._run, history, outcome)
