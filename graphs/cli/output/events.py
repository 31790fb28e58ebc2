"""Events of a search for programs (``--json``): one JSON object per line on stdout.

Every line has ``event`` and ``time`` (UTC, ISO 8601), and these fields by event:

============  =======================================================================================================
``start``     ``run``, ``folder``, ``task``, ``seed``, ``designers`` (by role), ``budgets`` (limits by name),
              ``base`` (``shares`` of the limits, ``scaling``: the widths raised before the search), ``num_slots``,
              ``isolation``, ``archs``, ``num_trained`` (above 0 for a resumed run)
``forecast``  after the base has trained: ``num_trainings``, of these ``num_retrainings``, ``num_slots``,
              ``seconds``, ``most_seconds``
``record``    ``archs``, ``num_trained``, ``best_id``, ``best_accuracy`` and ``record``: what
              ``python -m store.history_store --jsonl`` prints, without the source
``progress``  long work starts, continues (an event every 3 s) or ends: ``doing``, ``num_done``,
              ``num_all``, ``seconds_left``, ``running`` and ``queued``, see :mod:`graphs.runtime.progress_events`
``stop``      Ctrl-C or SIGTERM: ``signal``, ``folder``, ``archs``, ``num_trained``; the run can be resumed
``limit``     a limit on money, tokens or hours is reached: ``reason``, ``folder``, ``archs``, ``num_trained``
``finish``    see :func:`graphs.cli.output.summary.facts`
============  =======================================================================================================

An error is one line on stderr.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fairnad.records.candidate import Stage
from fairnad.records.history import History, Record
from fairnad.settings.casting import name_players
from graphs.cli.output.summary import facts
from graphs.cli.output.terminal import print_json
from graphs.runtime.training_forecast import forecast
from store.record_lines import without_source

if TYPE_CHECKING:
    from graphs.runtime.run_services import RunServices


class JsonEvents:
    """A :class:`graphs.cli.output.progress.Follower` for programs."""

    def __init__(self, run: RunServices, history: History) -> None:
        self._run = run
        self._history = history

    def __enter__(self) -> Self:
        run = self._run
        self._print(
            "start",
            run=run.context.run_name,
            folder=str(run.folder.path),
            task=run.context.task,
            seed=run.context.seed,
            designers=name_players(run.context),
            budgets={budget.name: budget.limit for budget in run.budgets},
            base={"shares": dict(run.base.shares), "scaling": run.base.note},
            num_slots=run.lab.num_slots,
            isolation=str(run.lab.isolation),
            **self._progress(),
        )
        self._print_forecast()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Do nothing: the last event was the last line."""

    def task(self, event: Mapping[str, Any]) -> None:
        """Do nothing: the record holds the results of the steps."""

    def working(self, progress: Mapping[str, Any]) -> None:
        """Print ``progress``."""
        self._print("progress", **progress)

    def recorded(self, record: Record) -> None:
        """Print ``record``, and ``forecast`` after the base."""
        self._history = History([*self._history.records, record])
        best = self._history.best
        self._print(
            "record",
            **self._progress(),
            best_id=best.candidate_id if best else None,
            best_accuracy=best.evaluation.accuracy if best and best.evaluation else None,
            record=without_source(record),
        )
        if record.stage is Stage.BASE:
            self._print_forecast()

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Do nothing: reviews do not use stdout."""
        return contextlib.nullcontext()

    def stopping(self, grace_seconds: float) -> None:
        """Do nothing until the search has stopped."""

    def stopped(self, signal_number: int, folder: Path) -> None:
        """Print ``stop``."""
        self._print("stop", signal=signal_number, folder=str(folder), **self._progress())

    def limited(self, reason: str, folder: Path) -> None:
        """Print ``limit``."""
        self._print("limit", reason=reason, folder=str(folder), **self._progress())

    def finished(self, history: History, outcome: Mapping[str, Any]) -> None:
        """Print ``finish``."""
        self._print("finish", **facts(self._run, history, outcome))

    def _print_forecast(self) -> None:
        run = self._run
        ahead = forecast(run.context, run.budgets, self._history, run.lab.num_slots, run.recipes)
        if ahead is not None:
            shown = {"seconds": ahead.seconds, "most_seconds": ahead.most_seconds}
            counts = {key: value for key, value in asdict(ahead).items() if key.startswith("num_")}
            self._print("forecast", **counts, **shown)

    def _progress(self) -> dict[str, int]:
        return {"archs": self._run.context.archs, "num_trained": len(self._history.trained)}

    def _print(self, event: str, **values: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        print_json({"event": event, "time": now} | values)
