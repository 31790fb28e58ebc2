"""Evidence about single candidates: their steps and outcome, their ancestors, their differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fairnad.domain.budget import load
from fairnad.errors import SettingsError
from fairnad.formatting import count_text, printable, quantity_text, share_text, signed_share_text, signed_text
from fairnad.ideas.conversation import Evidence
from fairnad.records.history import Record
from fairnad.records.lineage import (
    accuracy_change,
    children,
    class_names,
    cost_changes,
    diff_lines,
    gain,
    lineage,
    rank,
)
from graphs.candidate.step_text import change_text
from graphs.report.step_history import describe_steps
from graphs.runtime.stored_runs import StoredRun

_MOST_DIFF_LINES = 60
_MOST_CHILDREN = 12


def find_candidate(run: StoredRun, name: str) -> str:
    """The id of a candidate, by name (see :meth:`StoredRun.find`) or by the number of its draw.

    Args:
        name: a number counts draws from 1; 0 is the base.

    Raises:
        SettingsError: the name matches no candidate, or several.
    """
    if not name.isdecimal():
        return run.find(name)
    number, drawn = int(name), run.history.drawn
    if number == 0 and run.history.base is not None:
        return run.history.base.candidate_id
    if not 1 <= number <= len(drawn):
        raise SettingsError(f"run {run.name} has no draw {name}: {count_text(len(drawn), 'draw')} are recorded")
    return drawn[number - 1].candidate_id


def describe_candidate(run: StoredRun, name: str) -> list[Evidence]:
    """A candidate with its steps and its outcome."""
    candidate_id = find_candidate(run, name)
    record = run.history.get(candidate_id)
    steps = [f"    {step}: {result}" for step, result in describe_steps(run.store.steps(candidate_id))]
    if record is None:
        text = f"[{candidate_id}] of run {run.name} is not recorded yet: it is in progress, or waits for the search."
        return [Evidence("\n".join([text, *map(printable, steps)]), candidates=(candidate_id,))]
    number = f" is draw {name} of run {run.name}; it" if name.isdecimal() else f" of run {run.name}"
    lines = [f"[{candidate_id}]{number} {outcome(record)}", *_details(run, record)]
    log = record.failure.log_tail.strip().splitlines()[-4:] if record.failure is not None else []
    lines += [f"    log: {line}" for line in log]
    if steps:
        lines += ["    steps:", *(f"    {step}" for step in steps)]
    ideas = (record.idea.idea_id,) if record.idea.text else ()
    others = [record.parent_id, record.duplicate_of, *(child.candidate_id for child in children(run.history, record))]
    candidates = tuple(dict.fromkeys([candidate_id, *filter(None, others[: _MOST_CHILDREN + 2])]))
    return [Evidence("\n".join(map(printable, lines)), ideas, candidates)]


def outcome(record: Record) -> str:
    """The outcome of a candidate, as a clause."""
    if record.evaluation is not None:
        return f"was trained: accuracy {record.evaluation.accuracy:.4f}"
    assert record.failure is not None, "a record has an evaluation or a failure"
    failure = record.failure
    same = f" of [{record.duplicate_of}]" if record.duplicate_of else ""
    return f"was discarded at step {failure.step}: {failure.kind}{same}: {failure.message}"


def _details(run: StoredRun, record: Record) -> Iterator[str]:
    if record.idea.text:
        tag = f" ({record.idea.tag})" if record.idea.tag is not None else ""
        yield f"    idea [{record.idea.idea_id}]: {record.idea.text}{tag}"
    if record.note:
        yield f"    done: {record.note}"
    if record.parent_id:
        parent = run.history.get(record.parent_id)
        yield f"    parent [{record.parent_id}]" + (f" {outcome(parent)}" if parent is not None else "")
    if record.evaluation is not None:
        gained, place = gain(run.history, record), rank(run.history, record)
        parts = [f"{signed_text(gained)} over its parent"] if gained is not None else []
        parts += [f"rank {place} of {len(run.history.ranking)}"] if place is not None else []
        parts += [costs_text(run, record)]
        yield f"    {', '.join(parts)}"
    if record.num_debugs or record.num_downscales:
        yield f"    {count_text(record.num_debugs, 'debug')}, {count_text(record.num_downscales, 'downscale')}"
    following = children(run.history, record)[:_MOST_CHILDREN]
    if following:
        yield "    children: " + ", ".join(f"[{child.candidate_id}]" for child in following)


def costs_text(run: StoredRun, record: Record) -> str:
    """The costs of a trained candidate, with their shares of the limits."""
    assert record.evaluation is not None, "only trained candidates have costs"
    costs = record.evaluation.costs
    shares = load(costs, [budget for budget in run.budgets if budget.name in costs])
    shares_text = [
        f"{quantity_text(cost)} {name}" + (f" ({share_text(shares[name])} of its limit)" if name in shares else "")
        for name, cost in costs.items()
    ]
    return ", ".join(shares_text)


def describe_lineage(run: StoredRun, name: str) -> list[Evidence]:
    """The ancestors of a candidate, the oldest first, with the gain of each step."""
    candidate_id = find_candidate(run, name)
    record = run.history.get(candidate_id)
    if record is None:
        return describe_candidate(run, name)
    line = lineage(run.history, record)
    head = f"[{candidate_id}] of run {run.name} comes from {count_text(len(line) - 1, 'ancestor')}, the oldest first:"
    ancestors = [summarize_candidate(run, one, gain(run.history, one), "its parent") for one in line]
    return [Evidence(head, candidates=(candidate_id,)), *ancestors]


def summarize_candidate(run: StoredRun, record: Record, gained: float | None, reference: str) -> Evidence:
    """A candidate in one line, its idea in a second; ``gained`` is its gain in accuracy over ``reference``."""
    parts = [outcome(record)]
    parts += [f"{signed_text(gained)} over {reference}"] if gained is not None else []
    parts += [costs_text(run, record)] if record.evaluation is not None else []
    idea = f"\n    idea [{record.idea.idea_id}]: {record.idea.text}" if record.idea.text else ""
    ideas = (record.idea.idea_id,) if record.idea.text else ()
    return Evidence(printable(f"[{record.candidate_id}] {', '.join(parts)}{idea}"), ideas, (record.candidate_id,))


def describe_difference(run: StoredRun, names: Sequence[str]) -> list[Evidence]:
    """The differences of two candidates: accuracy, costs, classes, source."""
    first, second = (_recorded(run, name) for name in names[:2])
    head = f"From [{first.candidate_id}], which {outcome(first)}, to [{second.candidate_id}], which {outcome(second)}:"
    lines = [head]
    change = accuracy_change(first, second)
    if change is not None:
        lines.append(f"    accuracy {signed_text(change)}")
    for name, (before, after) in cost_changes(first, second).items():
        percent = f" ({signed_share_text((after - before) / before)})" if before else ""
        lines.append(f"    {name} {quantity_text(before)} → {quantity_text(after)}{percent}")
    for word, found in (
        ("added", class_names(second) - class_names(first)),
        ("removed", class_names(first) - class_names(second)),
    ):
        if found:
            lines.append(f"    classes {word}: {', '.join(sorted(found))}")
    if second.idea.text:
        lines.append(f"    idea of the second [{second.idea.idea_id}]: {second.idea.text}")
    lines.append(f"    source: {change_text(first.source, second.source)}")
    changed = diff_lines(first, second)
    lines += changed[:_MOST_DIFF_LINES]
    if len(changed) > _MOST_DIFF_LINES:
        lines.append(f"… {len(changed) - _MOST_DIFF_LINES} more lines: python -m graphs.search diff shows them all")
    ideas = (second.idea.idea_id,) if second.idea.text else ()
    return [Evidence(printable("\n".join(lines)), ideas, (first.candidate_id, second.candidate_id))]


def _recorded(run: StoredRun, name: str) -> Record:
    candidate_id = find_candidate(run, name)
    record = run.history.get(candidate_id)
    if record is None:
        raise SettingsError(f"{candidate_id} of run {run.name} is not recorded yet")
    return record
