"""The table of the agents' roles, read by settings, prompts, model pool, casting and call estimates.

A new role needs an entry here, a protocol in :mod:`fairnad.ports`, the two modules that play it, its prompt, and the
node that calls it. Nothing heavy is imported here: settings are read before anything else.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Graph = Literal["search", "knowledge", "chat"]


class Retries(Protocol):
    """The settings that decide how often a role is asked."""

    @property
    def max_debugs(self) -> int:
        """Debugs per candidate."""

    @property
    def max_downscales(self) -> int:
        """Downscales per candidate."""

    @property
    def ablate(self) -> Collection[str]:
        """Parts that are switched off."""


CallRange = Callable[[Retries], tuple[int, int]]

PLAYERS = ("auto", "llm", "builtin")
"""Values for a role that has one player."""
MIXED_PLAYERS = (*PLAYERS, "llm-then-builtin", "builtin-then-llm")
"""Values for a role whose second player takes over."""


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt of a pack, with the variables that the program can fill in.

    ``edit_format`` is the form of source in the reply: ``full``, ``edit`` or ``module``; empty without source. A
    prompt that ``replaces`` others is optional in a pack; without it, the others are used.
    """

    name: str
    variables: frozenset[str]
    edit_format: str = ""
    replaces: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Classes are named as ``module:class``; ``method`` is the one method of a protocol of the search. ``players`` are
    its values in ``agents.players``; ``best`` is what ``auto`` means in the best mode; ``fallback``
    combines two players that take turns, ``joint`` two that answer together. ``calls_per_draw`` is the minimum and
    maximum number of calls per draw, in the stages that ``refines`` selects: refinement only, all others, or (``None``)
    all. ``needs_budget`` marks the role that also makes a base fit its limits.
    """

    name: str
    task: str
    graph: Graph
    protocol: str
    language_model: str
    built_in: str
    templates: tuple[Template, ...]
    schemas: tuple[str, ...] = ()
    players: tuple[str, ...] = MIXED_PLAYERS
    best: str = "llm"
    method: str = ""
    fallback: str = "agents.fallback:Fallback"
    joint: str = ""
    calls_per_draw: CallRange = lambda search: (0, 0)
    refines: bool | None = None
    needs_budget: bool = False


_MUTATION = frozenset({"idea", "parent"})
_DEBUG = frozenset({"failed", "parent", "prompt", "error", "traceback", "shapes"})
_DOWNSCALE = frozenset({"oversized", "parent", "prompt", "shrinking", "single_use"})
_REFINEMENT = frozenset(
    {"current", "previous", "idea", "performance_attributes", "efficiency_attributes", "refinement_ideas"}
)
_CATEGORIES = frozenset({"performance_attributes", "efficiency_attributes"})
_PAPER = frozenset({"title", "abstract"})
_IMPROVED_OR_DEGRADED = frozenset({"idea_mutation_improved", "idea_mutation_degraded"})

ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        Role(
            "mutator",
            "implements an idea",
            "search",
            protocol="fairnad.ports:Mutator",
            language_model="agents.mutator:LanguageModelMutator",
            built_in="agents.builtin.mutator:BuiltinMutator",
            method="mutate",
            templates=(
                Template("mutation", _MUTATION, "full"),
                Template("mutation_edit", _MUTATION, "edit", frozenset({"mutation"})),
                Template("mutation_module", frozenset({"idea", "places"}), "module", frozenset({"mutation"})),
            ),
            calls_per_draw=lambda search: (1, 1),
            refines=False,
        ),
        Role(
            "idea_mutator",
            "makes the ideas of stage III",
            "search",
            protocol="fairnad.ports:IdeaMutator",
            language_model="agents.idea_mutator:LanguageModelIdeaMutator",
            built_in="agents.builtin.idea_mutator:BuiltinIdeaMutator",
            method="mutate_idea",
            templates=(
                Template("idea_mutation_improved", _REFINEMENT, "full"),
                Template("idea_mutation_degraded", _REFINEMENT, "full"),
                Template("idea_mutation_edit", _REFINEMENT | {"improved"}, "edit", _IMPROVED_OR_DEGRADED),
            ),
            calls_per_draw=lambda search: (1, 1),
            refines=True,
        ),
        Role(
            "debugger",
            "repairs a source that does not run",
            "search",
            protocol="fairnad.ports:Debugger",
            language_model="agents.debugger:LanguageModelDebugger",
            built_in="agents.builtin.debugger:BuiltinDebugger",
            method="debug",
            templates=(
                Template("debug", _DEBUG, "full"),
                Template("debug_edit", _DEBUG, "edit", frozenset({"debug"})),
            ),
            best="builtin-then-llm",
            fallback="agents.fallback:FallbackDebugger",
            calls_per_draw=lambda search: (0, search.max_debugs),
        ),
        Role(
            "downscaler",
            "makes a candidate fit its budgets",
            "search",
            protocol="fairnad.ports:Downscaler",
            language_model="agents.downscaler:LanguageModelDownscaler",
            built_in="agents.builtin.downscaler:BuiltinDownscaler",
            method="downscale",
            templates=(
                Template("downscale", _DOWNSCALE, "full"),
                Template("downscale_edit", _DOWNSCALE, "edit", frozenset({"downscale"})),
            ),
            best="llm-then-builtin",
            fallback="agents.fallback:FallbackDownscaler",
            calls_per_draw=lambda search: (0, search.max_downscales),
            needs_budget=True,
        ),
        Role(
            "structural_judge",
            "decides whether the architecture has changed",
            "search",
            protocol="fairnad.ports:StructuralJudge",
            language_model="agents.structural_judge:LanguageModelStructuralJudge",
            built_in="agents.builtin.structural_judge:BuiltinStructuralJudge",
            templates=(Template("structural_judge", frozenset({"judged", "parent"})),),
            schemas=("VERDICT",),
            players=(*MIXED_PLAYERS, "both"),
            joint="agents.fallback:JointJudge",
            method="judge",
            best="builtin",
            calls_per_draw=lambda search: (0, 0) if "judge" in search.ablate else (1, 1),
        ),
        Role(
            "structurer",
            "names the attributes of reference models",
            "knowledge",
            protocol="fairnad.ideas.knowledge:AttributeStructurer",
            language_model="agents.attribute_structurer:LanguageModelAttributeStructurer",
            built_in="agents.builtin.attribute_structurer:BuiltinAttributeStructurer",
            templates=(Template("attribute_structuring", frozenset({"template", "name", "code"})),),
            schemas=("attributes",),
            players=PLAYERS,
        ),
        Role(
            "reader",
            "filters papers and extracts their ideas",
            "knowledge",
            protocol="fairnad.ideas.knowledge:PaperReader",
            language_model="agents.paper_reader:LanguageModelPaperReader",
            built_in="agents.builtin.paper_reader:BuiltinPaperReader",
            templates=(
                Template("paper_filter", _CATEGORIES | _PAPER),
                Template("idea_extraction", _CATEGORIES | _PAPER | {"method"}),
                Template("idea_extraction_unstructured", _PAPER | {"method"}),
            ),
            schemas=("PAPER_VERDICT", "UNTAGGED_VERDICT", "IDEAS", "UNTAGGED_IDEAS"),
            players=PLAYERS,
        ),
        Role(
            "librarian",
            "understands and answers questions",
            "chat",
            protocol="fairnad.ideas.conversation:Librarian",
            language_model="agents.librarian:LanguageModelLibrarian",
            built_in="agents.builtin.librarian:BuiltinLibrarian",
            templates=(
                Template("question_understanding", _CATEGORIES | {"question", "earlier"}),
                Template("question_answering", frozenset({"question", "earlier", "evidence"})),
            ),
            schemas=("UNDERSTANDING",),
            players=PLAYERS,
        ),
    )
}
"""Every role, by its name, in the order in which they are shown."""


def roles_of(graph: Graph) -> dict[str, Role]:
    """The roles that one graph asks, by name."""
    return {name: role for name, role in ROLES.items() if role.graph == graph}


def templates_of(graph: Graph) -> dict[str, Template]:
    """The prompts of the roles that one graph asks, by name."""
    return {template.name: template for role in roles_of(graph).values() for template in role.templates}


def role_of_call(call: str) -> str:
    """The role that makes a call, by the name of the call's prompt; empty for a name that belongs to none.

    The second call of a prompt appends ``_again`` to its name.
    """
    prompt = call.removesuffix("_again")
    found = (role.name for role in ROLES.values() if any(one.name == prompt for one in role.templates))
    return next(found, "")


def check_names(names: Iterable[str]) -> None:
    """Check the names of roles in a setting.

    Raises:
        ValueError: there is no such role; the message names the nearest one.
    """
    for name in names:
        if name not in ROLES:
            near = difflib.get_close_matches(name, ROLES, n=1, cutoff=0.4)
            advice = f"did you mean {near[0]}?" if near else f"expected some of {', '.join(ROLES)}"
            raise ValueError(f"unknown role {name}; {advice}")
