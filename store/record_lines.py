"""Records as lines of text, for other programs and for people.

The keys of a JSON line, in this order:

    candidate_id, generation, stage, round, slot, draw   where in the search it was drawn
    parent_id                   whose source was mutated; empty for the base
    idea                        {text, kind, tag, source}; tag is null or {target, granularity, main, sub}
    note                        what the mutator did, in a line; empty where it did not say
    accuracy                    validation accuracy in [0, 1]; null where it was not trained
    costs                       {params, flops, …} in the units of the budgets; empty where it was not trained
    failure                     null, or {step, kind, message, log_tail, shape_trace}
    duplicate_of                the record whose architecture this one repeats; empty for none
    num_debugs, num_downscales  retries that were spent
    repairs                     [{kind, version, mended, num_calls}, …], the debugs one by one: the kind of the failure,
                                the version of the source, whether it ran, a language model's calls
    choices                     {model, form, resample, lessons, parts} made at the draw; empty where nothing was chosen
    num_edits                   how often a person changed the idea or the source
    calls                       [{role, model, input_tokens, output_tokens, seconds, ok, note}, …]
    seconds                     wall-clock time of the candidate
    fingerprint, recipe_digest, train_loss, curve, train_seconds, isolation   of the training; null where there was none
                                (curve: [[epoch, validation accuracy], …] of earlier epochs, where asked for)
    findings                    [{kind, message, is_fault}, …] of the integrity verdicts, where nothing was refused
    source                      the Python source

A number that JSON does not know (infinite, or not a number) is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from fairnad.records.candidate import plain
from fairnad.records.history import Record


def json_line(record: Record) -> str:
    """The record as one JSON object without line breaks, with the keys the module lists."""
    place, training = record.place, record.evaluation
    return json.dumps(
        _finite(
            {
                "candidate_id": record.candidate_id,
                "generation": place.generation,
                "stage": str(place.stage),
                "round": place.round,
                "slot": place.slot,
                "draw": place.draw,
                "parent_id": record.parent_id,
                "idea": plain(record.idea),
                "note": record.note,
                "accuracy": training.accuracy if training else None,
                "costs": plain(training.costs) if training else {},
                "failure": plain(record.failure),
                "duplicate_of": record.duplicate_of,
                "num_debugs": record.num_debugs,
                "num_downscales": record.num_downscales,
                "repairs": plain(record.repairs),
                "choices": plain(record.choices),
                "num_edits": record.num_edits,
                "calls": plain(record.calls),
                "seconds": record.seconds,
                "fingerprint": training.fingerprint if training else None,
                "recipe_digest": training.recipe_digest if training else None,
                "train_loss": plain(training.train_loss) if training else None,
                "curve": plain(training.curve) if training else None,
                "train_seconds": training.seconds if training else None,
                "isolation": training.isolation if training else None,
                "findings": plain(training.findings) if training else [],
                "source": record.source,
            }
        ),
        allow_nan=False,
    )


def without_source(record: Record) -> dict[str, Any]:
    """The record as JSON data with the keys the module lists, but ``source``, which is by far the longest."""
    content: dict[str, Any] = json.loads(json_line(record))
    del content["source"]
    return content


def table(records: Sequence[Record]) -> Iterator[str]:
    """A heading and one line a record: id, accuracy in %, costs, and what became of it."""
    names = list(dict.fromkeys(name for record in records if record.evaluation for name in record.evaluation.costs))
    yield _row("candidate", "accuracy", names, "what became of it")
    for record in records:
        training = record.evaluation
        accuracy = f"{100 * training.accuracy:.2f}%" if training else "-"
        costs = [f"{training.costs[name]:,.10g}" if training and name in training.costs else "-" for name in names]
        yield _row(record.candidate_id, accuracy, costs, _outcome(record))


def _row(name: str, accuracy: str, costs: Sequence[str], outcome: str) -> str:
    return " ".join([f"{name:<22}", f"{accuracy:>8}", *(f"{cost:>12}" for cost in costs), f" {outcome}"])


def _outcome(record: Record) -> str:
    if record.failure is not None:
        return _one_line(f"{record.failure.step}: {record.failure.kind}: {record.failure.message}")
    return _one_line(record.idea.text) or "the base model"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
