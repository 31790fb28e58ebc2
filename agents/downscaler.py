"""The downscaler: brings a source under its budgets (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.llm.client import LanguageModel
from agents.proposals import Question, propose_by_edits, read_proposal, writes_edits
from fairnad.ports import DownscaleRequest, Proposal
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack


class LanguageModelDownscaler:
    """A :class:`fairnad.ports.Downscaler` that asks a language model.

    Args:
        form: how candidates are written where the draw chose nothing; unless ``full``, they are shrunk by edits.
    """

    def __init__(self, model: LanguageModel, pack: Pack, form: str = "full") -> None:
        self._model = model
        self._pack = pack
        self._form = form

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """The oversized source, made smaller. A prompt that is too long loses the parent, then the request."""
        variables = {
            "oversized": request.oversized.source,
            "parent": request.parent.source,
            "prompt": request.prompt,
            "shrinking": self._pack.single_use_idea if request.single_use else request.shrinking,
            "single_use": request.single_use,
        }
        droppable = ("parent", "prompt")
        if writes_edits(self._pack, "downscale_edit", request.errand, self._form):
            question = Question(self._pack, "downscale_edit", variables, droppable)
            source = request.oversized.source
            return await propose_by_edits(question, self._model, request.errand, source, request.prompt, Step.DOWNSCALE)
        question = Question(self._pack, "downscale", variables, droppable)
        answer = await question.ask(self._model, request.errand, Step.DOWNSCALE)
        return read_proposal(answer, Step.DOWNSCALE, request.prompt)
