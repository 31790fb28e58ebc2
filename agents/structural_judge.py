"""The structural judge: is the architecture changed, and still multi-layer? (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.llm.client import LanguageModel
from agents.proposals import Question, reject_reply
from agents.replies.reply_schemas import VERDICT
from agents.replies.source_replies import extract_verdict
from fairnad.ports import JudgeRequest, Verdict
from fairnad.records.candidate import Failure, Step
from prompts.loader import Pack


class LanguageModelStructuralJudge:
    """A :class:`fairnad.ports.StructuralJudge` that asks a language model.

    Args:
        as_data: ask for the verdict as a JSON object; otherwise in the form that the pack's prompt describes.
    """

    def __init__(self, model: LanguageModel, pack: Pack, *, as_data: bool = True) -> None:
        self._model = model
        self._pack = pack
        self._schema = VERDICT if as_data else None

    async def judge(self, request: JudgeRequest) -> Verdict | Failure:
        """The verdict on ``request.judged``; a failure if the reply has none, or contradicts itself."""
        variables = {"judged": request.judged.source, "parent": request.parent.source}
        question = Question(self._pack, "structural_judge", variables)
        answer = await question.ask(self._model, request.context, Step.JUDGE, self._schema)
        if isinstance(answer, Failure):
            return answer
        message = "the reply contains no verdict, or a contradictory one"
        return extract_verdict(answer.text) or reject_reply(Step.JUDGE, message, answer.text)
