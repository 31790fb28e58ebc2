"""The mutator: carries an idea out on a parent (paper §4.3, F.2.3), in one of three edit formats.

``full``: the model writes the whole file, as in the paper. ``edit``: it writes edits of the parent. ``module``: it
writes one new module, which is checked and then placed.
"""

from __future__ import annotations

from dataclasses import replace

from agents.llm.client import LanguageModel
from agents.module_library import add_used_modules, select_modules
from agents.module_mutation import PROMPT, mutate_by_module, read_site
from agents.proposals import SourceWriter
from fairnad.ports import Check, MutationRequest, Proposal
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack


class LanguageModelMutator(SourceWriter):
    """A :class:`fairnad.ports.Mutator` that asks a language model.

    Args:
        check: runs a module alone; without it no mutation is written as a module.
    """

    def __init__(self, model: LanguageModel, pack: Pack, edit_format: str = "full", check: Check | None = None) -> None:
        super().__init__(model, pack, edit_format)
        self._check = check

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The parent with the idea implemented; the proposal's ``prompt`` is the request for the idea and its target.

        If the prompt is too long, the lessons of earlier draws are left out, then the module library. Edits replace a
        module if the idea scales or adjusts the network, or if the parent has no known place for a module. A whole
        file replaces edits if the pack has no prompt for them.
        """
        idea = self._pack.format_idea(request.idea, request.target)
        is_module = self._format(request.context) == "module" and request.idea.asks_for_a_module
        if not is_module or self._check is None or not self._pack.has(PROMPT):
            return await self._rewrite(request, idea)
        site = read_site(request)
        if site is not None:
            return await mutate_by_module(self._model, self._pack, self._check, site, idea)
        answer = await self._rewrite(request, idea)
        if isinstance(answer, Failure):
            return answer
        return replace(answer, note="; ".join(filter(None, ("no known place for a module", answer.note))))

    async def _rewrite(self, request: MutationRequest, idea: str) -> Proposal | Failure:
        """The mutation as a whole file or as edits of the parent."""
        source, modules = request.parent.source, select_modules(request.modules, request.parent.source)
        variables = {"idea": idea, "parent": source, "lessons": request.context.choices.lessons, "parts": modules}
        prompts, droppable = ("mutation", "mutation_edit"), ("lessons", "parts")
        written = await self._write(
            *prompts, variables, droppable, context=request.context, source=source, step=Step.MUTATE
        )
        if isinstance(written, Failure):
            return written
        return add_used_modules(Proposal(written.source, idea, note=written.note), modules)
