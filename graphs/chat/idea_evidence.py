"""Evidence about ideas, with the results of a run that used them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from fairnad.formatting import count_text, signed_share_text, signed_text
from fairnad.ideas.attribute_tree import Target
from fairnad.ideas.conversation import Evidence, Preference, Understanding
from fairnad.ideas.idea import Idea
from fairnad.ideas.idea_filter import IdeaFilter, filter_text
from fairnad.records.history import History, Record
from fairnad.records.lineage import accuracy_change
from graphs.chat.services import ChatServices

_POOL = 5
"""Number of ideas found by meaning and then ranked by cost or year, as a multiple of the shown ideas."""
_MOST_CATEGORIES = 20


def find_ideas(services: ChatServices, asked: Understanding, limit: int, history: History | None) -> list[Evidence]:
    """The requested ideas with their results in the run; the first entry gives their number."""
    if asked.ideas:
        return _named(services, asked.ideas, history)
    if not asked.filters and not asked.text and asked.preference is Preference.CLOSEST:
        hint = "The question names no subject: ask for a category, a year, or what an idea should do."
        return [Evidence(hint), *count_ideas(services, asked)]
    passing = services.ideas.find(asked.filters)
    if not passing:
        return _instead(services, asked, history)
    ranked = _ranked(services, asked, limit, passing, history)
    kind = filter_text(asked.filters)
    subject = f"{kind}; " if kind else ""
    order = {
        Preference.CHEAP: "the cheapest first, by their wording and by what the run measured",
        Preference.NEWEST: "the newest first",
        Preference.CLOSEST: f"the closest to {asked.text!r} first" if asked.text else "in the order of their ids",
    }[asked.preference]
    head = f"{len(ranked)} of {count_text(len(passing), 'idea')} ({subject}{order}):"
    return [Evidence(head), *(_idea(idea, history) for idea in ranked)]


def similar_ideas(services: ChatServices, asked: Understanding, limit: int, history: History | None) -> list[Evidence]:
    """The ideas closest in meaning to the named one."""
    if not asked.ideas:
        return find_ideas(services, asked, limit, history)
    named = services.ideas.get(asked.ideas[0])
    if named is None:
        return [_unknown(asked.ideas[0])]
    found = services.ideas.neighbours(named.idea_id, asked.filters, limit=limit)
    head = Evidence(f"Ideas close to [{named.idea_id}] {named.text}", ideas=(named.idea_id,))
    return [head, *(_idea(idea, history, f"similarity {similarity:.2f}") for idea, similarity in found)]


def count_ideas(services: ChatServices, asked: Understanding) -> list[Evidence]:
    """The exact number of ideas of each requested category."""
    passing = services.ideas.find(asked.filters)
    kind = filter_text(asked.filters)
    head = f"{count_text(len(passing), 'idea')}{f' ({kind})' if kind else ''} of {len(services.ideas)}"
    is_narrow = bool(asked.filters.mains or asked.filters.subs)
    counts: Counter[str] = Counter()
    for idea in passing:
        assert idea.tag is not None, "all ideas in the store have a tag"
        counts[str(idea.tag if is_narrow else idea.tag.category)] += 1
    rows = counts.most_common(_MOST_CATEGORIES)
    lines = [f"{number:>5}  {category}" for category, number in rows]
    if len(counts) > len(rows):
        lines.append(f"and {count_text(len(counts) - len(rows), 'category').replace('categorys', 'categories')} more")
    return [Evidence("\n".join([head + (":" if lines else ""), *lines]))]


def _named(services: ChatServices, names: Sequence[str], history: History | None) -> list[Evidence]:
    found = [(name, services.ideas.get(name)) for name in names]
    return [_idea(idea, history) if idea is not None else _unknown(name) for name, idea in found]


def _unknown(name: str) -> Evidence:
    return Evidence(f"The store holds no idea {name}.")


def _instead(services: ChatServices, asked: Understanding, history: History | None) -> list[Evidence]:
    """The closest ideas if none passes the filters: first without the years, then by meaning alone."""
    none = f"No idea of {len(services.ideas)} is {filter_text(asked.filters) or 'there'}."
    ageless = replace(asked.filters, since=None, until=None, title="")
    passing = services.ideas.find(ageless) if ageless != asked.filters else ()
    if passing:
        years = sorted({idea.source.year for idea in passing if idea.source.year is not None})
        span = f", from {years[0]} to {years[-1]}" if years else ""
        head = f"{none} {count_text(len(passing), 'idea')} without the year{span}. The latest:"
        latest = sorted(passing, key=lambda idea: -(idea.source.year or 0))[:3]
        return [Evidence(head), *(_idea(idea, history) for idea in latest)]
    words = asked.text or " ".join((*asked.filters.subs, *asked.filters.mains))
    closest = services.ideas.search(words, IdeaFilter(without=asked.filters.without), limit=3) if words else []
    head = f"{none} Closest in meaning:" if closest else none
    return [Evidence(head), *(_idea(idea, history) for idea, _ in closest)]


def _ranked(
    services: ChatServices, asked: Understanding, limit: int, passing: Sequence[Idea], history: History | None
) -> list[Idea]:
    if asked.text:
        pool = limit if asked.preference is Preference.CLOSEST else limit * _POOL
        ideas = [idea for idea, _ in services.ideas.search(asked.text, asked.filters, limit=pool)]
    else:
        ideas = list(passing)
    if asked.preference is Preference.CHEAP:
        ideas.sort(key=lambda idea: -_thrift(services, idea, history))
    elif asked.preference is Preference.NEWEST:
        ideas.sort(key=lambda idea: -(idea.source.year or 0))
    return ideas[:limit]


def _thrift(services: ChatServices, idea: Idea, history: History | None) -> float:
    """The likely cost of an idea; measured costs count more than its wording."""
    wording = services.saving.count(idea.text) - services.costly.count(idea.text)
    aim = 1 if idea.tag is not None and idea.tag.target is Target.EFFICIENCY else 0
    changes = [change for change in map(_cost_change, _trials(history, idea)) if change is not None]
    # A tenth more cost outweighs one word.
    return max(min(wording, 3), -3) + aim - (median(changes) * 10 if changes else 0)


def _trials(history: History | None, idea: Idea) -> list[tuple[Record, Record]]:
    """(parent, child) of every trained candidate with that idea."""
    if history is None:
        return []
    pairs = ((history.get(record.parent_id), record) for record in history.trained if record.idea.text == idea.text)
    return [(parent, child) for parent, child in pairs if parent is not None and parent.evaluation is not None]


def _cost_change(pair: tuple[Record, Record]) -> float | None:
    """The largest relative rise of a cost from a parent to its child."""
    parent, child = (record.evaluation for record in pair)
    if parent is None or child is None:
        return None
    rises = [cost / parent.costs[name] - 1 for name, cost in child.costs.items() if parent.costs.get(name)]
    return max(rises, default=None)


def _idea(idea: Idea, history: History | None, remark: str = "") -> Evidence:
    source = idea.source
    year = f" ({source.year})" if source.year else ""
    origin = ", ".join(filter(None, [f"{source.title}{year}", source.section, source.link]))
    lines = [f"[{idea.idea_id}] {idea.text}", f"    {idea.tag}" + (f"; {remark}" if remark else "")]
    if origin:
        lines.append(f"    {origin}")
    trials = list(_trial_texts(idea, history))
    return Evidence("\n".join([*lines, *(f"    {text}" for _, text in trials)]), (idea.idea_id,), _ids(trials))


def _ids(trials: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(candidate_id for candidate_id, _ in trials)


def _trial_texts(idea: Idea, history: History | None) -> Iterator[tuple[str, str]]:
    """(candidate id, outcome) of every candidate with that idea."""
    for record in history.drawn if history is not None else ():
        if record.idea.text != idea.text:
            continue
        if record.failure is not None:
            yield record.candidate_id, f"tried in [{record.candidate_id}]: {record.failure.step}: {record.failure.kind}"
            continue
        parent = history.get(record.parent_id) if history is not None else None
        gained = accuracy_change(parent, record) if parent is not None else None
        rise = _cost_change((parent, record)) if parent is not None else None
        parts = [f"accuracy {signed_text(gained)} over its parent" if gained is not None else "trained"]
        parts += [f"cost {signed_share_text(rise)}"] if rise is not None else []
        yield record.candidate_id, f"tried in [{record.candidate_id}]: {', '.join(parts)}"
