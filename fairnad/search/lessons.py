"""Lessons: short lines about earlier draws for the next prompts, and ideas that are not drawn again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import IdeaSampler
from fairnad.records.candidate import FailureKind, Step
from fairnad.records.history import History, Record, had_no_reply
from fairnad.records.lineage import gain

MOST_LESSONS = 4
MOST_WORDS = 25
"""Limit for one lesson."""

_IDEA_WORDS = 10
_REASON_WORDS = 8
_WORD_CHARACTERS = 24
_NUM_TRIES = 24
_SAYS_NOTHING = {
    *(FailureKind.DUPLICATE, FailureKind.REVIEW),
    *(FailureKind.CONTEXT, FailureKind.TRUNCATED, FailureKind.BROKEN),
}
"""Kinds of failures that say nothing about the idea."""


def lessons(history: History, idea: Idea) -> tuple[str, ...]:
    """At most four lines: the two ideas with the largest gain or loss, and the two commonest failures.

    They come from draws of the same main category, or of the same kind for ideas without a tag. A chain of stage III
    has no idea yet and uses all draws.
    """
    records = [record for record in history.drawn if _is_alike(record.idea, idea)]
    effects = [(value, record) for record in records if (value := gain(history, record)) is not None]
    effects.sort(key=lambda effect: (-abs(effect[0]), effect[1].place.order))
    objective = history.objective
    effect_lines = [
        f"{_clip(record.idea.text, _IDEA_WORDS)}: {objective.format_gain(value).replace('-', '−')}"
        for value, record in effects
    ]
    shown = list(dict.fromkeys(effect_lines))[: MOST_LESSONS // 2]
    return (*shown, *_failures(records)[: MOST_LESSONS - len(shown)])


def _is_alike(earlier: Idea, idea: Idea) -> bool:
    if idea.kind is IdeaKind.MUTATED:
        return bool(earlier.text)
    if idea.tag is None:
        return earlier.kind is idea.kind
    return earlier.tag is not None and earlier.tag.category == idea.tag.category


def _failures(records: Sequence[Record]) -> list[str]:
    """A line for each (step, kind) with its newest example, the commonest first."""
    groups: defaultdict[tuple[Step, FailureKind], list[Record]] = defaultdict(list)
    for record in records:
        if record.failure is not None and record.failure.kind not in _SAYS_NOTHING:
            groups[record.failure.step, record.failure.kind].append(record)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return [
        f"{_clip(newest.idea.text, _IDEA_WORDS)}: {kind}, {len(group)} of {len(records)}"
        + (f": {_clip(newest.failure.message, _REASON_WORDS)}" if newest.failure.message else "")
        for (_, kind), group in ordered
        if (newest := group[-1]).failure is not None
    ]


def _clip(text: str, most: int) -> str:
    words = [word[:_WORD_CHARACTERS] for word in text.split()]
    return " ".join(words).rstrip(".") if len(words) <= most else " ".join(words[:most]).rstrip(".,;:") + " …"


def spent_ideas(records: Iterable[Record]) -> frozenset[str]:
    """The ids of knowledge ideas that failed twice for the same reason: the same step and kind."""
    reasons = Counter(
        (record.idea.idea_id, record.failure.step, record.failure.kind)
        for record in records
        if record.failure is not None and record.idea.kind is IdeaKind.KNOWLEDGE and not had_no_reply(record.failure)
    )
    return frozenset(idea_id for (idea_id, _, _), count in reasons.items() if count > 1)


class UnspentIdeas:
    """An :class:`fairnad.ports.IdeaSampler` that skips spent ideas, for a limited number of tries."""

    def __init__(self, ideas: IdeaSampler, spent: frozenset[str]) -> None:
        self._ideas, self._spent = ideas, spent

    def sample(self, kind: IdeaKind, generator: np.random.Generator) -> Idea:
        """The first idea that is not spent, or the last of 24 tries.

        Raises:
            ValueError: as the sampler behind it.
        """
        for _ in range(_NUM_TRIES - 1):
            idea = self._ideas.sample(kind, generator)
            if idea.idea_id not in self._spent:
                return idea
        return self._ideas.sample(kind, generator)
