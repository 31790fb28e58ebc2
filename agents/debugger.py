"""The debugger: mends a source that does not run (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.llm.client import LanguageModel
from agents.proposals import Question, propose_by_edits, read_proposal, writes_edits
from fairnad.ports import DebugRequest, Proposal
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack


class LanguageModelDebugger:
    """A :class:`fairnad.ports.Debugger` that asks a language model.

    Args:
        form: how candidates are written where the draw chose nothing; unless ``full``, they are mended by edits.
    """

    def __init__(self, model: LanguageModel, pack: Pack, form: str = "full") -> None:
        self._model = model
        self._pack = pack
        self._form = form

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The failed source, mended. Too long a prompt loses the parent, then the shapes, then the traceback."""
        variables = {
            "failed": request.failed,
            "parent": request.parent.source,
            "prompt": request.prompt,
            "error": f"{request.failure.kind}: {request.failure.message}",
            "traceback": request.failure.log_tail,
            "shapes": request.failure.shape_trace,
        }
        droppable = ("parent", "shapes", "traceback")
        if writes_edits(self._pack, "debug_edit", request.errand, self._form):
            question = Question(self._pack, "debug_edit", variables, droppable)
            source = request.failed
            return await propose_by_edits(question, self._model, request.errand, source, request.prompt, Step.DEBUG)
        question = Question(self._pack, "debug", variables, droppable)
        return read_proposal(await question.ask(self._model, request.errand, Step.DEBUG), Step.DEBUG, request.prompt)
