"""The mutator: carries an idea out on a parent (paper §4.3, F.2.3), in one of three forms.

``full``: the model writes the whole file, as in the paper. ``edit``: it writes edits of the parent. ``module``: it
writes a new module alone, which is checked and then placed.
"""

from __future__ import annotations

from dataclasses import replace

from agents.llm.client import LanguageModel
from agents.module_library import at_hand, completed
from agents.module_mutation import ROLE, module_site, mutate_by_module
from agents.proposals import Question, propose_by_edits, read_proposal, writes_edits
from fairnad.ports import Check, MutationRequest, Proposal
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack


class LanguageModelMutator:
    """A :class:`fairnad.ports.Mutator` that asks a language model.

    Args:
        form: how mutations are written where the draw chose nothing: ``full``, ``edit`` or ``module``.
        check: runs a module alone; without it nothing is written as a module.
    """

    def __init__(self, model: LanguageModel, pack: Pack, form: str = "full", check: Check | None = None) -> None:
        self._model = model
        self._pack = pack
        self._form = form
        self._check = check

    async def mutate(self, request: MutationRequest) -> Proposal | Failure:
        """The parent with the idea carried out; the proposal's ``prompt`` is the idea, worded for its target.

        A prompt that is too long loses the lessons of earlier draws, then the checked modules it offers. An idea that
        scales or adjusts the network, and a parent without a known place for a module, are left to edits; and edits to
        whole files where the pack has no prompt for them.
        """
        idea = self._pack.format_idea(request.idea, request.target)
        form = request.errand.choices.form or self._form
        if form == "module" and self._check is not None and self._pack.has(ROLE) and request.idea.asks_for_a_module:
            site = module_site(request)
            if site is not None:
                return await mutate_by_module(self._model, self._pack, self._check, site, idea)
            return _noted(await self._rewrite(request, idea), "no known place for a module")
        return await self._rewrite(request, idea)

    async def _rewrite(self, request: MutationRequest, idea: str) -> Proposal | Failure:
        """The parent with edits, or written anew."""
        lessons, parts = request.errand.choices.lessons, at_hand(request.parts, request.parent.source)
        variables = {"idea": idea, "parent": request.parent.source, "lessons": lessons, "parts": parts}
        droppable = ("lessons", "parts")
        if writes_edits(self._pack, "mutation_edit", request.errand, self._form):
            question = Question(self._pack, "mutation_edit", variables, droppable)
            source = request.parent.source
            edited = await propose_by_edits(question, self._model, request.errand, source, idea, Step.MUTATE)
            return completed(edited, parts)
        question = Question(self._pack, "mutation", variables, droppable)
        answer = await question.ask(self._model, request.errand, Step.MUTATE)
        return completed(read_proposal(answer, Step.MUTATE, prompt=idea), parts)


def _noted(answer: Proposal | Failure, remark: str) -> Proposal | Failure:
    """A proposal whose note says why it was made otherwise than chosen; a failure has no note."""
    if isinstance(answer, Failure):
        return answer
    return replace(answer, note="; ".join(filter(None, (remark, answer.note))))
