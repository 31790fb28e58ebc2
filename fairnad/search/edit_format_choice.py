"""Chooses the edit format of a mutation by valid candidates per token written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fairnad.ideas.attribute_tree import Granularity
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import BUILT_IN
from fairnad.records.history import History, Record, had_no_reply, is_valid
from fairnad.roles import ROLES
from fairnad.search.chooser import Belief, choose

EDIT_FORMATS = ("full", "edit", "module")
"""Whole files; edits of the parent; a new module alone."""

PRIORS: Mapping[str, Belief] = {
    "full": Belief.prior(0.3, cost_per_trial=1200),
    "edit": Belief.prior(0.4, cost_per_trial=450),
    "module": Belief.prior(0.5, cost_per_trial=350),
}
"""Pass rate and tokens per draw. Weak models do best with modules and worst with whole files."""

_FORMAT_OF_PROMPT = {
    template.name: template.edit_format for name in ("mutator", "idea_mutator") for template in ROLES[name].templates
}


def fitting_formats(idea: Idea) -> tuple[str, ...]:
    """The edit formats an idea can be carried out in.

    An idea for the whole network needs the whole file; an idea that scales or adjusts a network adds no module.
    """
    if idea.tag is not None and idea.tag.granularity is Granularity.NETWORK:
        return ("full",)
    if idea.kind is not IdeaKind.KNOWLEDGE:
        return ("full", "edit")
    return EDIT_FORMATS


def asked_format(record: Record) -> str:
    """The edit format a model was asked for, by its calls; empty without such a call.

    It differs from the format chosen at the draw if the parent had no known place for a module.
    """
    return next((_FORMAT_OF_PROMPT[call.role] for call in record.calls if call.role in _FORMAT_OF_PROMPT), "")


def choose_format(history: History, model: str, formats: Sequence[str], generator: np.random.Generator) -> str:
    """The edit format for a draw.

    Args:
        history: what was drawn before; a draw counts for its model and for the format it was asked for.
        model: the model chosen for the draw; empty for the only one.
        formats: those to choose from, at least one.
    """
    drawn = [record for record in history.drawn if record.choices.model == model]
    beliefs = {name: _learn(name, [one for one in drawn if asked_format(one) == name]) for name in formats}
    return choose(beliefs, generator)


def _learn(name: str, drawn: Sequence[Record]) -> Belief:
    """The belief about a format. A mutation that the built-in designer took over is not a success of the format."""
    num_valid = sum(is_valid(record) and not record.note.startswith(BUILT_IN) for record in drawn)
    num_replied = sum(not had_no_reply(record.failure) for record in drawn)
    num_tokens = sum(call.output_tokens for record in drawn for call in record.calls)
    return PRIORS[name].after(num_valid, num_replied, num_tokens)
