"""The debugger: mends a source that does not run (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.llm import LanguageModel
from agents.proposals import Question, read_proposal
from fairnad.candidate import Failure, Step
from fairnad.ports import DebugRequest, Proposal
from prompts.loader import Pack


class LanguageModelDebugger:
    """A :class:`fairnad.ports.Debugger` that asks a language model."""

    def __init__(self, model: LanguageModel, pack: Pack) -> None:
        self._model = model
        self._pack = pack

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
        question = Question(self._pack, "debug", variables, droppable=("parent", "shapes", "traceback"))
        return read_proposal(await question.ask(self._model, request.errand, Step.DEBUG), Step.DEBUG, request.prompt)
