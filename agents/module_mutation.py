"""Mutations by one new module: the model writes the module and names a place, the program inserts it.

The module is first checked alone, on maps of the shapes it will get, so that only modules that run are inserted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.builtin.module_fitting import fit_module
from agents.builtin.module_spots import MapShape, Spot, module_spots
from agents.builtin.new_module import ModuleError, read_module
from agents.builtin.source_editor import SourceEditor, UnreadableSourceError
from agents.llm.client import LanguageModel
from agents.module_library import add_modules, add_used_modules, select_modules
from agents.proposals import Question, reject_reply
from agents.replies.edit_replies import stands_alone
from agents.replies.source_replies import extract_module, extract_place, extract_source
from fairnad.ports import Check, MutationRequest, Proposal
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack

PROMPT = "mutation_module"

_UNKNOWN_SHAPES: tuple[MapShape, ...] = ((8, 8, 8), (16, 4, 4))
"""What a module is checked on if the parent has no report."""
_MOST_SHAPES = 4


@dataclass(frozen=True)
class ModuleSite:
    """A parent whose network is understood: the spots for modules, and the names that are taken."""

    request: MutationRequest
    spots: Sequence[Spot]
    names: frozenset[str]

    @property
    def places(self) -> list[str]:
        """The spots in words, with the shapes of their maps."""
        maps = [", ".join(" × ".join(map(str, shape)) for shape in spot.shapes) for spot in self.spots]
        return [f"{spot.words}: {text}" if text else spot.words for spot, text in zip(self.spots, maps, strict=True)]

    def editor(self) -> SourceEditor:
        """The parent, to be rewritten."""
        parent = self.request.parent
        return SourceEditor(parent.source, self.request.context.generator, parent.report)


def read_site(request: MutationRequest) -> ModuleSite | None:
    """The parent as a site for modules; ``None`` if it has no known spot for one."""
    parent = request.parent
    try:
        editor = SourceEditor(parent.source, request.context.generator, parent.report)
    except UnreadableSourceError:
        return None
    spots = module_spots(editor)
    if not spots:
        return None
    sizes = editor.reading.sizes
    return ModuleSite(request, spots, frozenset(sizes.classes) | frozenset(sizes.functions))


async def mutate_by_module(
    model: LanguageModel, pack: Pack, check: Check, site: ModuleSite, prompt: str
) -> Proposal | Failure:
    """The parent with a module that the model writes after the idea.

    If the prompt is too long, the lessons of earlier draws are left out, then the module library. If the reply names
    no place, one is drawn. A module that does not run alone, or changes the shape, is repaired if that needs no call.

    Args:
        check: runs the module alone.
        prompt: the request, for the roles that come later.
    """
    request = site.request
    lessons, modules = request.context.choices.lessons, select_modules(request.modules, request.parent.source)
    variables = {"idea": request.idea.text, "places": site.places, "lessons": lessons, "parts": modules}
    question = Question(pack, PROMPT, variables, ("lessons", "parts"))
    answer = await question.ask(model, request.context, Step.MUTATE)
    if isinstance(answer, Failure):
        return answer
    whole = extract_source(answer.text)
    if whole is not None and stands_alone(whole, request.parent.source):
        return add_used_modules(Proposal(whole, prompt, note="a whole file"), modules)
    code = extract_module(answer.text)
    if code is None:
        return reject_reply(Step.MUTATE, "the reply contains no Python class", answer.text)
    try:
        module = read_module(code, site.names)
    except ModuleError as error:
        return reject_reply(Step.MUTATE, str(error), answer.text)
    place = extract_place(answer.text, site.places)
    spot = site.editor().choose(site.spots) if place is None else site.spots[place]
    shapes = spot.shapes[:_MOST_SHAPES] or _UNKNOWN_SHAPES
    fit = await fit_module(module, lambda tried: add_modules(tried.alone(shapes), modules)[0], check, site.names)
    if isinstance(fit, Failure):
        return Failure(Step.MUTATE, fit.kind, f"the module {module.name} alone: {fit.message}", fit.log_tail)
    module, note = fit
    note = "; ".join(filter(None, [f"{module.name} {spot.words}", note]))
    editor = site.editor()
    spot.put(editor, module.attribute, module.build)
    module.add_to(editor)
    return add_used_modules(Proposal(editor.source, prompt, note=note), modules)
