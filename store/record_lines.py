"""Records as JSON lines and as a table.

The keys of a JSON line, in this order:

    candidate_id, generation, stage, round, slot, draw   the place of the draw in the search
    parent_id                   the candidate whose source was mutated; empty for the base
    idea                        {text, kind, tag, source}; tag is null or {target, granularity, main, sub}
    note                        the mutator's description in one line, possibly empty
    accuracy                    validation accuracy in [0, 1]; null if it was not trained
    costs                       {params, flops, …} in the units of the budgets; empty if it was not trained
    failure                     null, or {step, kind, message, log_tail, shape_trace}
    duplicate_of                the record with the same architecture, or empty
    num_debugs, num_downscales  retries
    repairs                     [{kind, version, mended, num_calls}, …], one per debug: the kind of the failure, the
                                version of the source, whether it ran afterwards, calls of a language model
    choices                     {model, form, resample, lessons, parts}, decided at the draw; empty if nothing was
    num_edits                   how often a reviewer changed the idea or the source
    calls                       [{role, model, input_tokens, output_tokens, seconds, ok, note, usd}, …]
    seconds                     wall-clock time of the candidate
    fingerprint, recipe_digest, train_loss, curve, train_seconds, isolation   of the training; null without one
                                (curve: [[epoch, validation accuracy], …] of earlier epochs, if requested)
    findings                    [{kind, message, is_fault}, …] of the integrity verdicts, if nothing was refused
    source                      the Python source

Infinite numbers and NaN, which JSON does not have, are null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from fairnad.records.candidate import plain
from fairnad.records.history import Record


def json_line(record: Record) -> str:
    """The record as one JSON object without line breaks, with the keys listed above."""
    return json.dumps(_fields(record), allow_nan=False)


def without_source(record: Record) -> dict[str, Any]:
    """The record as JSON data with the keys listed above, except ``source``, by far the longest."""
    content = _fields(record)
    del content["source"]
    return content


def _fields(record: Record) -> dict[str, Any]:
    place, stored = record.place, plain(record)
    training = stored["evaluation"] or {"costs": {}, "findings": []}
    fields = {"candidate_id": record.candidate_id, "generation": place.generation, "stage": str(place.stage)}
    fields |= {"round": place.round, "slot": place.slot, "draw": place.draw}
    fields |= {name: stored[name] for name in ("parent_id", "idea", "note")}
    fields |= {"accuracy": training.get("accuracy"), "costs": training["costs"]}
    fields |= {name: stored[name] for name in ("failure", "duplicate_of", "num_debugs", "num_downscales", "repairs")}
    fields |= {name: stored[name] for name in ("choices", "num_edits", "calls", "seconds")}
    fields |= {name: training.get(name) for name in ("fingerprint", "recipe_digest", "train_loss", "curve")}
    fields |= {"train_seconds": training.get("seconds"), "isolation": training.get("isolation")}
    finite: dict[str, Any] = _finite(fields | {"findings": training["findings"], "source": record.source})
    return finite


def table(records: Sequence[Record]) -> Iterator[str]:
    """A heading and one line per record: id, accuracy in %, costs, outcome."""
    names = list(dict.fromkeys(name for record in records if record.evaluation for name in record.evaluation.costs))
    yield _row("candidate", "accuracy", names, "outcome")
    for record in records:
        training = record.evaluation
        accuracy = f"{100 * training.accuracy:.2f}%" if training else "-"
        costs = [f"{training.costs[name]:,.10g}" if training and name in training.costs else "-" for name in names]
        yield _row(record.candidate_id, accuracy, costs, _outcome(record))


def _row(name: str, accuracy: str, costs: Sequence[str], outcome: str) -> str:
    return " ".join([f"{name:<22}", f"{accuracy:>8}", *(f"{cost:>12}" for cost in costs), f" {outcome}"])


def _outcome(record: Record) -> str:
    if record.failure is not None:
        text = f"{record.failure.step}: {record.failure.kind}: {record.failure.message}"
    else:
        text = record.idea.text or "the base model"
    return " ".join(text.split())


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
