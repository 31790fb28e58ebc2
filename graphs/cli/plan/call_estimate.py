"""What a search asks of a language model: calls and tokens by role, as few as may be and as many as can be.

The fewest: every candidate passes everything the first time. The most: every candidate is reached with the last of
its slot's draws, and each draw needs all its repairs and reductions. Retries after an endpoint's faults, and
up to three continuations of a reply that was cut off, come on top.
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
from fairnad.search.model_choice import who_may_play
from fairnad.settings.search_settings import RunContext
from graphs.runtime.roles import ROLES, cast, implementations

if TYPE_CHECKING:
    from prompts.loader import Pack

_LOG_CHARACTERS = 4000
_VERDICT_TOKENS = 60


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """Calls and tokens of one role; ``least`` tokens take all sources to be as long as the base's."""

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
    """One estimate a role that a language model plays, and that is asked at all.

    Args:
        num_trained: candidates to train by stage.
        base_is_over: whether the base must be brought under its limits first.
    """
    usual = _input_tokens(pack, base_source, ideas)
    limits = {role: _max_tokens(context, role) for role in ROLES}
    longest = _input_tokens(pack, "x" * (max(limits.values()) * CHARACTERS_A_TOKEN), ideas)
    reply = math.ceil(len(base_source) / CHARACTERS_A_TOKEN)
    estimates = []
    for role, (least, most) in _num_calls(context, num_trained, base_is_over).items():
        if cast(context)[role] and most:
            usual_reply = _VERDICT_TOKENS if role == "structural_judge" else min(reply, limits[role])
            estimates.append(
                CallEstimate(
                    role=role,
                    least_calls=least,
                    most_calls=most,
                    least_input_tokens=least * usual[role],
                    most_input_tokens=most * max(longest[role], usual[role]),
                    least_output_tokens=least * usual_reply,
                    most_output_tokens=most * limits[role],
                )
            )
    return estimates


def _max_tokens(context: RunContext, role: str) -> int:
    """How long a reply may be of whichever model answers for a role; the setting's where there is no model."""
    entries = who_may_play(context.llm.entries, role)
    return max((entry.max_tokens for entry in entries), default=context.llm.max_tokens)


def _num_calls(context: RunContext, num_trained: Mapping[Stage, int], base_is_over: bool) -> dict[str, tuple[int, int]]:
    """(least, most) by role."""
    search = context.search
    num_all = sum(num_trained.values())
    num_refined = num_trained.get(Stage.REFINE, 0)
    most_draws = num_all * search.max_draws
    for_base = search.max_downscales if base_is_over else 0
    judged = num_all if search.judge_structure else 0
    tries = search.max_downscales
    if implementations(context, ("downscaler",))["downscaler"] == "llm-then-builtin":
        tries = min(tries, 1)  # later reductions are the built-in designer's alone
    return {
        "mutator": (num_all - num_refined, (num_all - num_refined) * search.max_draws),
        "idea_mutator": (num_refined, num_refined * search.max_draws),
        "debugger": (0, most_draws * search.max_debugs),
        "downscaler": (min(for_base, 1), most_draws * tries + min(for_base, tries)),
        "structural_judge": (judged, judged * search.max_draws),
    }


def _input_tokens(pack: Pack, source: str, ideas: Sequence[Idea]) -> dict[str, int]:
    """Tokens of one prompt by role, where every source in it is ``source`` and the idea is the longest."""
    idea = max(ideas, key=lambda idea: len(idea.text))
    request = pack.format_idea(idea, MutationTarget.NEW_MODULE)
    chain: dict[str, object] = {
        "current": source,
        "previous": source,
        "idea": idea.text,
        "performance_attributes": pack.attribute_tree.outline(Target.PERFORMANCE),
        "efficiency_attributes": pack.attribute_tree.outline(Target.EFFICIENCY),
        "refinement_ideas": (*pack.upscaling_ideas, *pack.adjustment_ideas),
    }
    failed: dict[str, object] = {
        "failed": source,
        "parent": source,
        "prompt": request,
        "error": "",
        "traceback": "x" * _LOG_CHARACTERS,
        "shapes": "x" * _LOG_CHARACTERS,
    }
    oversized: dict[str, object] = {
        "oversized": source,
        "parent": source,
        "prompt": request,
        "shrinking": pack.single_use_idea,
    }
    variables: dict[str, dict[str, dict[str, object]]] = {
        "mutator": {"mutation": {"idea": request, "parent": source}},
        "idea_mutator": {"idea_mutation_improved": chain, "idea_mutation_degraded": chain},
        "debugger": {"debug": failed},
        "downscaler": {"downscale": oversized | {"single_use": True}},
        "structural_judge": {"structural_judge": {"judged": source, "parent": source}},
    }
    return {
        role: max(_tokens(pack, name, shown) for name, shown in prompts.items()) for role, prompts in variables.items()
    }


def _tokens(pack: Pack, name: str, variables: Mapping[str, object]) -> int:
    messages = pack.messages(name, **variables)
    return math.ceil(sum(len(text) for _, text in messages) / CHARACTERS_A_TOKEN)
