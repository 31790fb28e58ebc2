"""The structural judge: a changed architecture, still multi-layer (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.llm.client import LanguageModel
from agents.llm.streamed_reply import TAIL_CHARACTERS
from agents.proposals import Question
from agents.replies.reply_schemas import VERDICT
from agents.replies.source_replies import extract_verdict
from fairnad.ports import JudgeRequest, Verdict
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.loader import Pack


class LanguageModelStructuralJudge:
    """A :class:`fairnad.ports.StructuralJudge` that asks a language model.

    Args:
        as_data: whether the verdict is asked for as a JSON object; otherwise in the form the pack's prompt names, with
            nothing added to it.
    """

    def __init__(self, model: LanguageModel, pack: Pack, *, as_data: bool = True) -> None:
        self._model = model
        self._pack = pack
        self._schema = VERDICT if as_data else None

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The verdict on ``request.judged``; a reply without one, or one that contradicts itself, is a failure."""
        variables = {"judged": request.judged.source, "parent": request.parent.source}
        question = Question(self._pack, "structural_judge", variables)
        answer = await question.ask(self._model, request.errand, Step.JUDGE, self._schema)
        if isinstance(answer, Failure):
            return answer
        message = "the reply holds no verdict, or one that contradicts itself"
        return extract_verdict(answer.text) or Failure(
            Step.JUDGE, FailureKind.REPLY, message, answer.text[-TAIL_CHARACTERS:]
        )
