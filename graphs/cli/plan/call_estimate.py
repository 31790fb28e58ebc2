"""Minimum and maximum calls and tokens of a search, by role.

Minimum: every candidate passes all checks at once. Maximum: every candidate needs all draws of its slot, and each draw
all its debugs and downscales. Retries after an endpoint error and continuations of a reply that was cut off (up to
three) are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairnad.ideas.attribute_tree import Target
from fairnad.ideas.idea import Idea, MutationTarget
from fairnad.records.candidate import Stage
from fairnad.records.prices import CHARACTERS_A_TOKEN
from fairnad.roles import Role, roles_of
from fairnad.search.model_choice import entries_of_role
from fairnad.settings.casting import asks_model, cast_roles
from fairnad.settings.model_entries import ModelEntry
from fairnad.settings.search_settings import RunContext

if TYPE_CHECKING:
    from prompts.loader import Pack

_LOG_CHARACTERS = 4000
_VERDICT_TOKENS = 60


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """Calls and tokens of one role; the minimum assumes that all sources are as long as the base."""

    role: str
    least_calls: int
    most_calls: int
    least_input_tokens: int
    most_input_tokens: int
    least_output_tokens: int
    most_output_tokens: int


def estimate_calls(
    context: RunContext,
    pack: Pack,
    base_source: str,
    ideas: Sequence[Idea],
    num_trained: Mapping[Stage, int],
    *,
    base_is_over: bool,
) -> list[CallEstimate]:
    """One estimate for each role that a language model plays, if it makes any call.

    Args:
        num_trained: candidates to train by stage.
        base_is_over: whether the base is over budget and must be downscaled first.
    """
    reply = math.ceil(len(base_source) / CHARACTERS_A_TOKEN)
    estimates = []
    for role in roles_of("search").values():
        least, most = _num_calls(context, role, num_trained, base_is_over)
        if not most or not asks_model(context, role.name):
            continue
        limit = _max_tokens(context, role.name)
        usual = _input_tokens(pack, role, base_source, ideas)
        longest = _input_tokens(pack, role, "x" * (limit * CHARACTERS_A_TOKEN), ideas)
        usual_reply = _VERDICT_TOKENS if role.schemas else min(reply, limit)
        estimates.append(
            CallEstimate(
                role=role.name,
                least_calls=least,
                most_calls=most,
                least_input_tokens=least * usual,
                most_input_tokens=most * max(longest, usual),
                least_output_tokens=least * usual_reply,
                most_output_tokens=most * limit,
            )
        )
    return estimates


def _max_tokens(context: RunContext, role: str) -> int:
    """The longest reply, in tokens, of any model that may play a role; the setting if there is no model."""
    entries = entries_of_role(context.llm.models, role)
    return max((entry.max_tokens for entry in entries), default=ModelEntry.model_fields["max_tokens"].default)


def _num_calls(
    context: RunContext, role: Role, num_trained: Mapping[Stage, int], base_is_over: bool
) -> tuple[int, int]:
    """Minimum and maximum calls of a role."""
    num_refined = num_trained.get(Stage.REFINE, 0)
    num_others = sum(num_trained.values()) - num_refined
    num_candidates = (role.refines is not False) * num_refined + (role.refines is not True) * num_others
    least, most = role.calls_per_draw(context.search)
    if role.needs_budget and cast_roles(context, (role.name,))[role.name] == "llm-then-builtin":
        most = min(most, 1)  # later reductions go to the built-in designer only
    for_base = most if role.needs_budget and base_is_over else 0
    most_draws = num_candidates * context.search.max_draws
    return num_candidates * least + min(for_base, 1), most_draws * most + for_base


def _input_tokens(pack: Pack, role: Role, source: str, ideas: Sequence[Idea]) -> int:
    """Tokens of the longest whole-file prompt of a role, with ``source`` as every source in it."""
    idea = max(ideas, key=lambda idea: len(idea.text))
    request = pack.format_idea(idea, MutationTarget.NEW_MODULE)
    known: dict[str, object] = {
        "idea": request if role.name == "mutator" else idea.text,
        "prompt": request,
        "performance_attributes": pack.attribute_tree.outline(Target.PERFORMANCE),
        "efficiency_attributes": pack.attribute_tree.outline(Target.EFFICIENCY),
        "refinement_ideas": (*pack.upscaling_ideas, *pack.adjustment_ideas),
        "error": "",
        "traceback": "x" * _LOG_CHARACTERS,
        "shapes": "x" * _LOG_CHARACTERS,
        "shrinking": pack.single_use_idea,
        "single_use": True,
    }
    prompts = [template for template in role.templates if not template.replaces]
    return max(
        _tokens(pack, prompt.name, {name: known.get(name, source) for name in prompt.variables}) for prompt in prompts
    )


def _tokens(pack: Pack, name: str, variables: Mapping[str, object]) -> int:
    messages = pack.messages(name, **variables)
    return math.ceil(sum(len(text) for _, text in messages) / CHARACTERS_A_TOKEN)
