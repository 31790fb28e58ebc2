"""Which of several language models designs a candidate, and who stands in for it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fairnad.records.candidate import CandidateId, Stage
from fairnad.records.history import History, Record
from fairnad.settings.model_entries import ModelChoice, ModelEntry

_SALT = 0x6D6F64656C
"""Keeps the draw of a model apart from all else that is drawn for the same candidate."""
_LEAST_COST, _GREATEST_COST = 0.1, 10.0
"""Of a model, relative to the mean: without bounds one lucky draw that cost nothing would count for ever."""


def who_may_play(entries: Sequence[ModelEntry], player: str) -> tuple[ModelEntry, ...]:
    """The entries that name a role, then those that name none; every entry where there are neither."""
    own = [entry for entry in entries if player in entry.roles]
    return (*own, *(entry for entry in entries if not entry.roles)) or tuple(entries)


def designers(entries: Sequence[ModelEntry], player: str) -> dict[str, float]:
    """The names among which the model of a role is chosen, each with its weight: its own models, where it has some."""
    own = [entry for entry in entries if player in entry.roles]
    weights: dict[str, float] = {}
    for entry in own or who_may_play(entries, player):
        weights.setdefault(entry.title, entry.weight)
    return weights


def order_of_names(entries: Sequence[ModelEntry], player: str, chosen: str, words: Sequence[int]) -> list[str]:
    """The names that may play a role, in the order they are asked.

    Args:
        chosen: the name that was chosen at the draw, empty for none; a role's own model goes before it.
        words: of which one is drawn by weight where none was chosen.
    """
    own = designers(entries, player)
    first = chosen if chosen in own else _draw(own, words)
    others = sorted(who_may_play(entries, player), key=lambda entry: (entry.title not in own, -entry.weight))
    return list(dict.fromkeys([first, *(entry.title for entry in others)]))


def choose_model(
    entries: Sequence[ModelEntry], history: History, place: CandidateId, seed: int, choice: ModelChoice
) -> str:
    """The name of the model that designs a candidate, empty where there is no model.

    Args:
        history: every record of earlier waves, so that going through a search again repeats the choice.
    """
    player = "idea_mutator" if place.stage is Stage.REFINE else "mutator"
    arms = designers(entries, player)
    if len(arms) < 2:
        return next(iter(arms), "")
    if choice == "weights":
        return _draw(arms, [seed, place.generation, place.stage.order, place.round, place.slot, place.draw])
    return _pull(list(arms), entries, history, place.slot)


def _draw(weights: dict[str, float], words: Sequence[int]) -> str:
    names = list(weights)
    shares = np.array([weights[name] for name in names])
    return names[int(np.random.default_rng([*words, _SALT]).choice(len(names), p=shares / shares.sum()))]


def _pull(names: Sequence[str], entries: Sequence[ModelEntry], history: History, slot: int) -> str:
    """The name with the highest upper confidence bound on what a draw is worth at what it costs.

    A draw is worth the accuracy it gains over its parent, relative to the parent's; 0 where it gains none, or failed.
    The candidates of one wave are chosen from the same history: for a slot, those before it count as tried already.
    """
    rewards: dict[str, list[float]] = {name: [] for name in names}
    costs: dict[str, list[float]] = {name: [] for name in names}
    for record in history.drawn:
        if (name := _designer(record)) in rewards:
            rewards[name].append(_gain(record, history))
            costs[name].append(_usd(record, entries))
    dear = _relative(costs)
    rewards = {name: [reward / dear[name] for reward in of_one] for name, of_one in rewards.items()}
    spread = float(np.std([reward for of_one in rewards.values() for reward in of_one] or [0.0]))
    num_tries = Counter({name: len(of_one) for name, of_one in rewards.items()})
    found = names[0]
    for _ in range(slot + 1):
        found = _highest(names, rewards, num_tries, spread)
        num_tries[found] += 1
    return found


def _highest(names: Sequence[str], rewards: dict[str, list[float]], num_tries: Counter[str], spread: float) -> str:
    def bound(name: str) -> tuple[float, int]:
        if not num_tries[name]:
            return math.inf, 0
        mean = sum(rewards[name]) / len(rewards[name]) if rewards[name] else 0.0
        unsure = spread * math.sqrt(2 * math.log(num_tries.total()) / num_tries[name])
        return mean + unsure, -num_tries[name]

    return max(names, key=bound)  # among equals the first, which is the one that was listed first


def _designer(record: Record) -> str:
    """Who answered for the design; the one that was chosen where nobody did."""
    answered = (call.model for call in record.calls if call.ok and "mutation" in call.role)
    return next(answered, record.choices.model)


def _gain(record: Record, history: History) -> float:
    parent = history.get(record.parent_id)
    if record.evaluation is None or parent is None or parent.evaluation is None or not parent.evaluation.accuracy:
        return 0.0
    return max(0.0, record.evaluation.accuracy / parent.evaluation.accuracy - 1)


def _usd(record: Record, entries: Iterable[ModelEntry]) -> float:
    prices = {entry.title: (entry.price_input, entry.price_output) for entry in entries}
    total = 0.0
    for call in record.calls:
        price_input, price_output = prices.get(call.model, (0.0, 0.0))
        total += (call.input_tokens * price_input + call.output_tokens * price_output) / 1e6
    return total


def _relative(costs: dict[str, list[float]]) -> dict[str, float]:
    """The mean cost of a draw by each name over the mean of them; 1 where nothing is known."""
    means = {name: sum(of_one) / len(of_one) for name, of_one in costs.items() if of_one}
    overall = sum(means.values()) / len(means) if means else 0.0
    if not overall:
        return dict.fromkeys(costs, 1.0)
    return {name: min(max(means.get(name, overall) / overall, _LEAST_COST), _GREATEST_COST) for name in costs}
