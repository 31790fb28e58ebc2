"""Which form a language model writes a mutation in: learned from what has passed, and at which price.

Each form's pass rate is drawn from what is believed of it (a Beta distribution: a weak prior and the draws so far) and
divided by the tokens a draw of it writes; the form with the most is taken. So the one that does best is taken most
often, and the others are tried as long as they might do better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairnad.ideas.attribute_tree import Granularity
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import BUILT_IN
from fairnad.records.history import History, Record, is_valid

FORMS = ("full", "edit", "module")
"""Whole files; edits of the parent; a new module alone."""

_FORM_OF_PROMPT = {
    "mutation": "full",
    "mutation_edit": "edit",
    "mutation_module": "module",
    "idea_mutation_improved": "full",
    "idea_mutation_degraded": "full",
    "idea_mutation_edit": "edit",
}
"""What is asked for by each prompt that makes a candidate's first source."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What is believed of a form before anything is known of a model: as if so many draws had been seen."""

    pass_rate: float
    tokens: float
    num_draws: float = 2.0


PRIORS: Mapping[str, Belief] = {
    "full": Belief(pass_rate=0.3, tokens=1200),
    "edit": Belief(pass_rate=0.4, tokens=450),
    "module": Belief(pass_rate=0.5, tokens=350),
}
"""Weak models do best with modules and worst with whole files; strong ones show soon that they do not."""


def fitting_forms(idea: Idea) -> tuple[str, ...]:
    """The forms an idea can be carried out in.

    What concerns the network as a whole needs the whole file; what scales or adjusts a network adds no module.
    """
    if idea.tag is not None and idea.tag.granularity is Granularity.NETWORK:
        return ("full",)
    if idea.kind is not IdeaKind.KNOWLEDGE:
        return ("full", "edit")
    return FORMS


def asked_form(record: Record) -> str:
    """The form a model was asked for, as its calls show; empty where none was.

    It is another than was chosen at the draw where the parent had no known place for a module.
    """
    return next((_FORM_OF_PROMPT[call.role] for call in record.calls if call.role in _FORM_OF_PROMPT), "")


def choose_form(history: History, model: str, forms: Sequence[str], generator: np.random.Generator) -> str:
    """The form for a draw.

    Args:
        history: what was drawn before; only draws of this model count, each for the form it was asked for.
        model: the model chosen for the draw, as in :class:`fairnad.records.draw_decisions.Choices`.
        forms: those that come into question, at least one.
        generator: makes the choice the same whenever it is made again.
    """
    worth = {}
    for form in forms:
        drawn = [record for record in history.drawn if (record.choices.model, asked_form(record)) == (model, form)]
        worth[form] = _passes_per_token(form, drawn, generator)
    return max(worth, key=lambda form: worth[form])


def _passes_per_token(form: str, drawn: Sequence[Record], generator: np.random.Generator) -> float:
    """A pass rate drawn from what is believed of a form, over the tokens one draw of it writes.

    What the built-in designer carried out in a model's stead is no success of the form.
    """
    prior, seen = PRIORS[form], History(drawn).pass_rate()
    num_valid = sum(is_valid(record) and not record.note.startswith(BUILT_IN) for record in drawn)
    passed = prior.pass_rate * prior.num_draws + num_valid
    failed = (1 - prior.pass_rate) * prior.num_draws + seen.num_draws - num_valid
    tokens = prior.tokens * prior.num_draws + sum(call.output_tokens for record in drawn for call in record.calls)
    return float(generator.beta(passed, failed)) * (prior.num_draws + len(drawn)) / tokens
