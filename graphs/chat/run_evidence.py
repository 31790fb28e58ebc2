"""Evidence about a whole run: its progress, its best candidates, what helped, what failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from agents.builtin.phrases import words_of
from fairnad.formatting import count_text, printable, quantity_text, rate_text, signed_text, spread_text
from fairnad.ideas.conversation import Evidence, Preference, Topic, Understanding
from fairnad.ideas.idea import IdeaKind
from fairnad.ideas.idea_filter import filter_text
from fairnad.records.history import Record
from fairnad.records.lineage import accuracy_change, gain
from graphs.chat.candidate_evidence import costs_text, outcome, summarize_candidate
from graphs.report.html_report import CategoryResult, categories, failures
from graphs.runtime.stored_runs import StoredRun

_EXAMPLES = 3
_BEST = 3


def describe_run(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """The progress and the results of a run."""
    history = run.history
    failed = len(history.drawn) - len(history.trained)
    lines = [
        f"Run {run.name} ({run.context.task}, seed {run.context.seed}) is {run.state}: {len(history.trained)} of "
        f"{run.context.archs} trained, {count_text(len(history.drawn), 'draw')}, {failed} discarded, "
        f"pass rate {rate_text(history.pass_rate())}."
    ]
    if run.budgets:
        limits = ", ".join(f"{quantity_text(budget.limit)} {budget.name}" for budget in run.budgets)
        lines.append(f"    limits: {limits}")
    candidates = []
    for what, record in (("base", history.base), ("best", run.best)):
        if record is not None and record.trained and record.candidate_id not in candidates:
            lines.append(f"    {what} [{record.candidate_id}] {outcome(record)}, {costs_text(run, record)}")
            candidates.append(record.candidate_id)
    return [Evidence(printable("\n".join(lines)), candidates=tuple(candidates))]


def describe_best(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """The best candidates of a run, the winner of the finals first."""
    best = run.best
    if best is None:
        return [Evidence(f"Nothing has trained yet in run {run.name}.")]
    others = [record for record in run.history.ranking if record is not best]
    evidence = [_summarize(run, record) for record in [best, *others][: asked.limit or _BEST]]
    if run.finals is not None:
        fresh = spread_text([*run.finals.winner.validation.values()])
        head = Evidence(f"[{best.candidate_id}] won the finals: {fresh} on fresh seeds.", (), (best.candidate_id,))
        evidence.insert(0, head)
    return evidence


def _summarize(run: StoredRun, record: Record) -> Evidence:
    base = run.history.base
    gained = accuracy_change(base, record) if base is not None and base is not record else None
    return summarize_candidate(run, record, gained, "the base")


def describe_candidates(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """The candidates whose ideas pass the filters, the most accurate or the cheapest first."""
    words = set(words_of(asked.text))
    found = [
        record
        for record in run.history.drawn
        if record.idea.text
        and asked.filters.passes(record.idea)
        and words <= set(words_of(f"{record.idea.text} {record.note}"))
    ]
    kind = ", ".join(filter(None, [filter_text(asked.filters), f"about {asked.text!r}" if asked.text else ""]))
    if not found:
        return [Evidence(f"No candidate of run {run.name} has an idea of that kind{f' ({kind})' if kind else ''}.")]
    found.sort(key=_least_cost if asked.preference is Preference.CHEAP else _best_first)
    order = "the cheapest first" if asked.preference is Preference.CHEAP else "the most accurate first"
    head = f"{min(limit, len(found))} of {count_text(len(found), 'candidate')} of run {run.name}"
    return [
        Evidence(f"{head} ({kind}; {order}):" if kind else f"{head} ({order}):"),
        *(_summarize(run, record) for record in found[:limit]),
    ]


def _least_cost(record: Record) -> tuple[bool, list[float]]:
    evaluation = record.evaluation
    return evaluation is None, sorted(evaluation.costs.values(), reverse=True) if evaluation else []


def _best_first(record: Record) -> tuple[bool, float]:
    evaluation = record.evaluation
    return evaluation is None, evaluation.objective.sort_key(evaluation.accuracy) if evaluation else 0.0


def describe_categories(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """The main categories of ideas that were tried, with the gains of their candidates over their parents."""
    results = [one for one in categories(run.history) if _is_asked(one, asked)]
    if not results:
        return [Evidence(f"Run {run.name} has drawn no knowledge idea of that kind yet.")]
    helped = [one for one in results if one.mean_gain is not None and one.mean_gain > 0]
    head = (
        f"{len(helped)} of {len(results)} main categories that run {run.name} tried helped: their candidates gained "
        "accuracy over their parents on average. A few draws say little; n is given."
    )
    return [Evidence(head), *(_category(run, one) for one in results)]


def _is_asked(result: CategoryResult, asked: Understanding) -> bool:
    filters = asked.filters
    return (not filters.targets or result.category.target in filters.targets) and (
        not filters.mains or result.category.main in filters.mains
    )


def _category(run: StoredRun, result: CategoryResult) -> Evidence:
    records = [record for record in run.history.drawn if _lies_in(record, result)]
    gains = {record.candidate_id: value for record in records if (value := gain(run.history, record)) is not None}
    text = f"{result.category}: {count_text(result.num_drawn, 'draw')}, {result.num_trained} trained"
    if result.mean_gain is None:
        return Evidence(text)
    best = max(records, key=lambda record: gains.get(record.candidate_id, -math.inf))
    text += (
        f", {result.num_improved} of {len(result.gains)} better than their parent, mean gain "
        f"{signed_text(result.mean_gain)}; most by [{best.candidate_id}] {signed_text(gains[best.candidate_id])} "
        f"with idea [{best.idea.idea_id}]"
    )
    return Evidence(printable(text), (best.idea.idea_id,), (best.candidate_id,))


def _lies_in(record: Record, result: CategoryResult) -> bool:
    idea = record.idea
    return idea.kind is IdeaKind.KNOWLEDGE and idea.tag is not None and idea.tag.category == result.category


def describe_failures(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """Why candidates were discarded, the commonest reason first."""
    groups = failures(run.history)
    if not groups:
        return [Evidence(f"No candidate of run {run.name} was discarded.")]
    num_failed = sum(map(len, groups))
    head = f"{num_failed} of {count_text(len(run.history.drawn), 'draw')} of run {run.name} were discarded:"
    return [Evidence(head), *(_failures(group) for group in groups[:limit])]


def _failures(group: Sequence[Record]) -> Evidence:
    first = group[0].failure
    assert first is not None, "only failed records are grouped"
    examples = tuple(record.candidate_id for record in group[:_EXAMPLES])
    shown = ", ".join(f"[{candidate_id}]" for candidate_id in examples)
    more = ", …" if len(group) > len(examples) else ""
    text = f"{len(group):>3}  {first.step}: {first.kind}, such as {first.message!r}: {shown}{more}"
    return Evidence(printable(text), candidates=examples)


DESCRIPTIONS: Mapping[Topic, Callable[[StoredRun, Understanding, int], list[Evidence]]] = {
    Topic.RUN: describe_run,
    Topic.BEST: describe_best,
    Topic.CANDIDATES: describe_candidates,
    Topic.CATEGORIES: describe_categories,
    Topic.FAILURES: describe_failures,
}
"""The functions that answer questions about a whole run, by topic."""
