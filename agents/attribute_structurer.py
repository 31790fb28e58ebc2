"""The attribute structurer: the design attributes of a reference model (paper §4.1, F.2.1)."""

from __future__ import annotations

from agents.llm.client import LanguageModel
from agents.llm.streamed_reply import TAIL_CHARACTERS
from agents.proposals import Question
from agents.replies.knowledge_replies import extract_attributes
from agents.replies.reply_schemas import attributes as attributes_schema
from fairnad.ideas.knowledge import Findings, ReferenceModel
from fairnad.ports import Errand
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.knowledge_pack import KnowledgePack


class LanguageModelAttributeStructurer:
    """A :class:`fairnad.knowledge.AttributeStructurer` that asks a language model."""

    def __init__(self, model: LanguageModel, knowledge: KnowledgePack) -> None:
        self._model = model
        self._knowledge = knowledge

    async def structure(self, errand: Errand, model: ReferenceModel) -> Findings | Failure:
        """The attributes of one model, or of one part of it; a reply without any JSON object is a failure."""
        template = self._knowledge.template.outline()
        variables = {"template": template, "name": model.name, "code": model.code}
        question = Question(self._knowledge, "attribute_structuring", variables)
        answer = await question.ask(self._model, errand, Step.STRUCTURE, attributes_schema(template))
        if isinstance(answer, Failure):
            return answer
        attributes = extract_attributes(answer.text)
        if attributes is None:
            message = "the reply holds no list of attributes"
            return Failure(Step.STRUCTURE, FailureKind.REPLY, message, answer.text[-TAIL_CHARACTERS:])
        return Findings(model.name, attributes)
