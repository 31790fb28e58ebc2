"""A running search for programs: one JSON object a line on stdout, and nothing else there.

Every line has ``event`` and ``time`` (UTC, ISO 8601), and by event:

============  =======================================================================================================
``start``     ``run``, ``folder``, ``task``, ``seed``, ``designers`` (by role), ``budgets`` (limits by name),
              ``base`` (``shares`` of the limits, ``scaling``: the widths raised before the search), ``num_slots``,
              ``isolation``, ``archs``, ``num_trained`` (above 0 where a run is resumed)
``forecast``  once the base has trained: ``num_trainings`` with ``num_retrainings`` among them, ``num_slots``,
              ``seconds``, ``most_seconds``
``record``    ``archs``, ``num_trained``, ``best_id``, ``best_accuracy`` and ``record``: what
              ``python -m store.history_store --jsonl`` prints, without the source
``progress``  work that takes a while begins, goes on (an event every 3 s) or ends: ``doing``, ``num_done``,
              ``num_all``, ``seconds_left``, ``running`` and ``queued``, see :mod:`graphs.runtime.progress_events`
``stop``      Ctrl-C or SIGTERM: ``signal``, ``folder``, ``archs``, ``num_trained``; the run can be resumed
``limit``     a limit on money, tokens or hours: ``reason``, ``folder``, ``archs``, ``num_trained``; it can be resumed
``finish``    see :func:`graphs.cli.output.summary.facts`
============  =======================================================================================================

An error is one line on stderr, as ever.
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
from graphs.cli.output.summary import facts
from graphs.cli.output.terminal import print_json
from graphs.runtime.roles import players
from graphs.runtime.training_forecast import forecast
from store.record_lines import without_source

if TYPE_CHECKING:
    from graphs.runtime.run_services import Bench


class JsonEvents:
    """A :class:`graphs.cli.output.progress.Follower` for programs."""

    def __init__(self, bench: Bench, history: History) -> None:
        self._bench = bench
        self._history = history

    def __enter__(self) -> Self:
        bench = self._bench
        self._tell(
            "start",
            run=bench.context.run_name,
            folder=str(bench.folder.path),
            task=bench.context.task,
            seed=bench.context.seed,
            designers=players(bench.context),
            budgets={budget.name: budget.limit for budget in bench.budgets},
            base={"shares": dict(bench.base.shares), "scaling": bench.base.note},
            num_slots=bench.lab.num_slots,
            isolation=str(bench.lab.isolation),
            **self._progress(),
        )
        self._tell_forecast()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing: the last event was the last line."""

    def task(self, event: Mapping[str, Any]) -> None:
        """Nothing: a record tells what its steps came to."""

    def working(self, progress: Mapping[str, Any]) -> None:
        """``progress``."""
        self._tell("progress", **progress)

    def recorded(self, record: Record) -> None:
        """``record``, and ``forecast`` after the base's."""
        self._history = History([*self._history.records, record])
        best = self._history.best
        self._tell(
            "record",
            **self._progress(),
            best_id=best.candidate_id if best else None,
            best_accuracy=best.evaluation.accuracy if best and best.evaluation else None,
            record=without_source(record),
        )
        if record.stage is Stage.BASE:
            self._tell_forecast()

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """Nothing: a conversation is not on stdout."""
        return contextlib.nullcontext()

    def stopping(self, grace_seconds: float) -> None:
        """Nothing until the search has stopped."""

    def stopped(self, signal_number: int, folder: Path) -> None:
        """``stop``."""
        self._tell("stop", signal=signal_number, folder=str(folder), **self._progress())

    def limited(self, reason: str, folder: Path) -> None:
        """``limit``."""
        self._tell("limit", reason=reason, folder=str(folder), **self._progress())

    def finished(self, history: History, outcome: Mapping[str, Any]) -> None:
        """``finish``."""
        self._tell("finish", **facts(self._bench, history, outcome))

    def _tell_forecast(self) -> None:
        bench = self._bench
        ahead = forecast(bench.context, bench.budgets, self._history, bench.lab.num_slots, bench.recipes)
        if ahead is not None:
            shown = {"seconds": ahead.seconds, "most_seconds": ahead.most_seconds}
            counts = {key: value for key, value in asdict(ahead).items() if key.startswith("num_")}
            self._tell("forecast", **counts, **shown)

    def _progress(self) -> dict[str, int]:
        return {"archs": self._bench.context.archs, "num_trained": len(self._history.trained)}

    def _tell(self, event: str, **values: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        print_json({"event": event, "time": now} | values)
