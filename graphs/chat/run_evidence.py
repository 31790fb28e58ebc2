"""What a run says to a question about the whole of it: how far it is, its best, what helped, what failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from agents.builtin.phrases import words_of
from fairnad.formatting import count_text, printable, quantity_text, rate_text, signed_text, spread_text
from fairnad.ideas.conversation import Evidence, Preference, Topic, Understanding
from fairnad.ideas.idea import IdeaKind
from fairnad.ideas.idea_filter import filter_text
from fairnad.records.history import Record
from fairnad.records.lineage import accuracy_change, gain
from graphs.chat.candidate_evidence import costs_text, outcome
from graphs.report.html_report import CategoryResult, categories, failures
from graphs.runtime.stored_runs import StoredRun

_EXAMPLES = 3
_BEST = 3


def tell_run(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """How far a run is, and how it did."""
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


def tell_best(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """The best candidates of a run; the winner of the finals first, where there were any."""
    best = run.best
    if best is None:
        return [Evidence(f"Nothing has trained yet in run {run.name}.")]
    others = [record for record in run.history.ranking if record is not best]
    evidence = [_ranked(run, record) for record in [best, *others][: asked.limit or _BEST]]
    if run.finals is not None:
        fresh = spread_text([*run.finals.winner.validation.values()])
        head = Evidence(f"[{best.candidate_id}] won the finals: {fresh} on fresh seeds.", (), (best.candidate_id,))
        evidence.insert(0, head)
    return evidence


def _ranked(run: StoredRun, record: Record) -> Evidence:
    base = run.history.base
    gained = accuracy_change(base, record) if base is not None and base is not record else None
    told = [outcome(record)]
    told += [f"{signed_text(gained)} over the base"] if gained is not None else []
    told += [costs_text(run, record)] if record.evaluation is not None else []
    idea = f"\n    idea [{record.idea.idea_id}]: {record.idea.text}" if record.idea.text else ""
    ideas = (record.idea.idea_id,) if record.idea.text else ()
    return Evidence(printable(f"[{record.candidate_id}] {', '.join(told)}{idea}"), ideas, (record.candidate_id,))


def tell_candidates(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
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
    found.sort(key=_least_cost if asked.preference is Preference.CHEAP else _least_accuracy_last)
    order = "the cheapest first" if asked.preference is Preference.CHEAP else "the most accurate first"
    head = f"{min(limit, len(found))} of {count_text(len(found), 'candidate')} of run {run.name}"
    return [
        Evidence(f"{head} ({kind}; {order}):" if kind else f"{head} ({order}):"),
        *(_ranked(run, record) for record in found[:limit]),
    ]


def _least_cost(record: Record) -> tuple[bool, list[float]]:
    evaluation = record.evaluation
    return evaluation is None, sorted(evaluation.costs.values(), reverse=True) if evaluation else []


def _least_accuracy_last(record: Record) -> float:
    return -record.evaluation.accuracy if record.evaluation else 1.0


def tell_categories(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
    """Which main categories of ideas were tried, and what their candidates gained over their parents."""
    results = [one for one in categories(run.history) if _is_asked(one, asked)]
    if not results:
        return [Evidence(f"Run {run.name} has drawn no knowledge idea of that kind yet.")]
    helped = [one for one in results if one.mean_gain is not None and one.mean_gain > 0]
    head = (
        f"{len(helped)} of {len(results)} main categories that run {run.name} tried helped: their candidates gained "
        "accuracy over their parents in the mean. Of single draws that says little; the n is given."
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
    told = f"{result.category}: {count_text(result.num_drawn, 'draw')}, {result.num_trained} trained"
    if result.mean_gain is None:
        return Evidence(told, candidates=())
    best = max(records, key=lambda record: gains.get(record.candidate_id, -2.0))
    told += (
        f", {result.num_improved} of {len(result.gains)} better than their parent, mean gain "
        f"{signed_text(result.mean_gain)}; most by [{best.candidate_id}] {signed_text(gains[best.candidate_id])} "
        f"with idea [{best.idea.idea_id}]"
    )
    return Evidence(printable(told), (best.idea.idea_id,), (best.candidate_id,))


def _lies_in(record: Record, result: CategoryResult) -> bool:
    idea = record.idea
    return idea.kind is IdeaKind.KNOWLEDGE and idea.tag is not None and idea.tag.category == result.category


def tell_failures(run: StoredRun, asked: Understanding, limit: int) -> list[Evidence]:
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


TELLERS: Mapping[Topic, Callable[[StoredRun, Understanding, int], list[Evidence]]] = {
    Topic.RUN: tell_run,
    Topic.BEST: tell_best,
    Topic.CANDIDATES: tell_candidates,
    Topic.CATEGORIES: tell_categories,
    Topic.FAILURES: tell_failures,
}
"""Who answers each question about a whole run."""
