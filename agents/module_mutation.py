"""A mutation written as a new module alone: the model writes it and names its place, the program puts it there.

The module is checked alone first, on maps of the shapes it will get, so that what cannot run is never placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.builtin.module_fitting import fitted
from agents.builtin.module_spots import MapShape, Spot, module_spots
from agents.builtin.new_module import ModuleError, NewModule, read_module
from agents.builtin.source_editor import Draft, UnreadableSourceError
from agents.llm.client import LanguageModel
from agents.llm.streamed_reply import TAIL_CHARACTERS
from agents.module_library import at_hand, completed, with_parts
from agents.proposals import Question
from agents.replies.edit_replies import stands_alone
from agents.replies.source_replies import extract_module, extract_place, extract_source
from fairnad.ports import Check, MutationRequest, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.loader import Pack

ROLE = "mutation_module"

_UNKNOWN_SHAPES: tuple[MapShape, ...] = ((8, 8, 8), (16, 4, 4))
"""What a module is checked on where the parent has no report."""
_MOST_SHAPES = 4


@dataclass(frozen=True)
class ModuleSite:
    """A parent whose network is understood: where modules can go, and what a model is shown of it."""

    request: MutationRequest
    spots: Sequence[Spot]
    names: frozenset[str]

    @property
    def places(self) -> list[str]:
        """The spots in words, with the shapes of their maps."""
        return [_described(spot) for spot in self.spots]

    def draft(self) -> Draft:
        """The parent, to be rewritten."""
        parent = self.request.parent
        return Draft(parent.source, self.request.errand.generator, parent.report)


def module_site(request: MutationRequest) -> ModuleSite | None:
    """What is known of the parent; ``None`` where no spot for a module is found in it."""
    parent = request.parent
    try:
        draft = Draft(parent.source, request.errand.generator, parent.report)
    except UnreadableSourceError:
        return None
    spots = module_spots(draft)
    if not spots:
        return None
    roles = draft.reading.roles
    return ModuleSite(request, spots, frozenset(roles.classes) | frozenset(roles.functions))


async def mutate_by_module(
    model: LanguageModel, pack: Pack, check: Check, site: ModuleSite, prompt: str
) -> Proposal | Failure:
    """The parent with a module the model writes after the idea.

    A prompt that is too long loses the lessons of earlier draws, then the checked modules it offers. A reply that names
    no place has it drawn. A module that does not run alone, or changes the shape, is mended where that needs no call.

    Args:
        check: runs the module alone.
        prompt: what the candidate was made by, for the roles that come later.
    """
    request = site.request
    lessons, parts = request.errand.choices.lessons, at_hand(request.parts, request.parent.source)
    variables = {"idea": request.idea.text, "places": site.places, "lessons": lessons, "parts": parts}
    question = Question(pack, ROLE, variables, ("lessons", "parts"))
    answer = await question.ask(model, request.errand, Step.MUTATE)
    if isinstance(answer, Failure):
        return answer
    whole = extract_source(answer.text)
    if whole is not None and stands_alone(whole, request.parent.source):
        return completed(Proposal(whole, prompt, note="a whole file"), parts)
    code = extract_module(answer.text)
    if code is None:
        return _unusable("the reply holds no Python class", answer.text)
    try:
        module = read_module(code, site.names)
    except ModuleError as error:
        return _unusable(str(error), answer.text)
    place = extract_place(answer.text, site.places)
    spot = site.draft().choose(site.spots) if place is None else site.spots[place]
    shapes = spot.shapes[:_MOST_SHAPES] or _UNKNOWN_SHAPES
    fit = await fitted(module, lambda tried: with_parts(tried.alone(shapes), parts)[0], check, site.names)
    if isinstance(fit, Failure):
        return Failure(Step.MUTATE, fit.kind, f"the module {module.name} alone: {fit.message}", fit.log_tail)
    module, mended = fit
    note = "; ".join(filter(None, [f"{module.name} {spot.words}", mended]))
    return completed(Proposal(_placed(site, spot, module), prompt, note=note), parts)


def _placed(site: ModuleSite, spot: Spot, module: NewModule) -> str:
    draft = site.draft()
    spot.put(draft, module.attribute, module.built)
    module.add_to(draft)
    return draft.source


def _unusable(message: str, reply: str) -> Failure:
    return Failure(Step.MUTATE, FailureKind.REPLY, message, reply[-TAIL_CHARACTERS:])


def _described(spot: Spot) -> str:
    maps = ", ".join(f"{channels} × {height} × {width}" for channels, height, width in spot.shapes)
    return f"{spot.words}: {maps}" if maps else spot.words
