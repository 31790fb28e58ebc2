"""Chooses which of several language models designs a candidate, and the order of its substitutes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.history import History, Record
from fairnad.search import sampling
from fairnad.search.chooser import Belief, choose
from fairnad.settings.model_entries import ModelChoice, ModelEntry

_SALT = 0x6D6F64656C
"""Separates the draw of a model from other random numbers of the same candidate."""
PRIOR = Belief.prior(0.5)
"""A model without draws counts as good and of average cost, so that every model is tried soon."""
_LEAST_COST, _GREATEST_COST = 0.1, 10.0
"""Bounds of a model's relative cost, so that a single free draw does not dominate all later choices."""


def entries_of_role(entries: Sequence[ModelEntry], player: str) -> tuple[ModelEntry, ...]:
    """The entries that name the role, then those without roles; all entries if both groups are empty."""
    own = [entry for entry in entries if player in entry.roles]
    return (*own, *(entry for entry in entries if not entry.roles)) or tuple(entries)


def designers(entries: Sequence[ModelEntry], player: str) -> dict[str, float]:
    """Names and weights of the models that may play a role; models that name the role exclude the others."""
    own = [entry for entry in entries if player in entry.roles]
    weights: dict[str, float] = {}
    for entry in own or entries_of_role(entries, player):
        weights.setdefault(entry.title, entry.weight)
    return weights


def order_of_names(entries: Sequence[ModelEntry], player: str, chosen: str, words: Sequence[int]) -> list[str]:
    """The names that may play a role, in the order in which they are asked.

    Args:
        chosen: the name chosen at the draw, or empty; models that name the role go first.
        words: seed of the draw by weight if no name was chosen.
    """
    own = designers(entries, player)
    first = chosen if chosen in own else _draw(own, words)
    others = sorted(entries_of_role(entries, player), key=lambda entry: (entry.title not in own, -entry.weight))
    return list(dict.fromkeys([first, *(entry.title for entry in others)]))


def choose_model(
    entries: Sequence[ModelEntry], history: History, place: CandidateId, seed: int, choice: ModelChoice
) -> str:
    """The name of the model that designs a candidate; empty without models.

    Args:
        history: the records of earlier waves, so that a resumed search repeats the choice.
    """
    player = "idea_mutator" if place.stage is Stage.REFINE else "mutator"
    arms = designers(entries, player)
    if len(arms) < 2:
        return next(iter(arms), "")
    if choice == "weights":
        return _draw(arms, [seed, place.generation, place.stage.order, place.round, place.slot, place.draw])
    return choose(_learn(arms, entries, history), sampling.generator(seed, place, "model"))


def _draw(weights: dict[str, float], words: Sequence[int]) -> str:
    names = list(weights)
    shares = np.array([weights[name] for name in names])
    return names[int(np.random.default_rng([*words, _SALT]).choice(len(names), p=shares / shares.sum()))]


def _learn(names: Iterable[str], entries: Sequence[ModelEntry], history: History) -> dict[str, Belief]:
    """The belief about each model's draws.

    A draw succeeds by its relative gain over its parent, as a share of the largest gain so far; a failure
    gains nothing. Its cost is relative to the mean of all models.
    """
    gains: dict[str, list[float]] = {name: [] for name in names}
    costs: dict[str, list[float]] = {name: [] for name in names}
    for record in history.drawn:
        if (name := _designer(record)) in gains:
            gains[name].append(_relative_gain(record, history))
            costs[name].append(_usd(record, entries))
    largest = max((gain for own in gains.values() for gain in own), default=0.0) or 1.0
    price = _relative_costs(costs)
    return {name: PRIOR.after(sum(own) / largest, len(own), price[name] * len(own)) for name, own in gains.items()}


def _designer(record: Record) -> str:
    """The model that answered for the design, otherwise the chosen model."""
    answered = (call.model for call in record.calls if call.ok and "mutation" in call.role)
    return next(answered, record.choices.model)


def _relative_gain(record: Record, history: History) -> float:
    parent = history.get(record.parent_id)
    if record.evaluation is None or parent is None or parent.evaluation is None:
        return 0.0
    objective = record.evaluation.objective
    return max(0.0, objective.relative_gain(record.evaluation.accuracy, parent.evaluation.accuracy))


def _usd(record: Record, entries: Iterable[ModelEntry]) -> float:
    prices = {entry.title: (entry.price_input, entry.price_output) for entry in entries}
    total = 0.0
    for call in record.calls:
        price_input, price_output = prices.get(call.model, (0.0, 0.0))
        total += (call.input_tokens * price_input + call.output_tokens * price_output) / 1e6
    return total


def _relative_costs(costs: dict[str, list[float]]) -> dict[str, float]:
    """The mean cost per draw of each model, divided by the mean over models; 1 without data."""
    means = {name: sum(of_one) / len(of_one) for name, of_one in costs.items() if of_one}
    overall = sum(means.values()) / len(means) if means else 0.0
    if not overall:
        return dict.fromkeys(costs, 1.0)
    return {name: min(max(means.get(name, overall) / overall, _LEAST_COST), _GREATEST_COST) for name in costs}
