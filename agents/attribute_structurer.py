"""The attribute structurer: names the design attributes of a reference model (paper §4.1, F.2.1)."""

from __future__ import annotations

from agents.llm.client import LanguageModel
from agents.proposals import Question, reject_reply
from agents.replies.knowledge_replies import extract_attributes
from agents.replies.reply_schemas import attributes as attributes_schema
from fairnad.ideas.knowledge import Findings, ReferenceModel
from fairnad.ports import CallContext
from fairnad.records.candidate import Failure, Step
from prompts.knowledge_pack import KnowledgePack


class LanguageModelAttributeStructurer:
    """A :class:`fairnad.ideas.knowledge.AttributeStructurer` that asks a language model."""

    def __init__(self, model: LanguageModel, knowledge: KnowledgePack) -> None:
        self._model = model
        self._knowledge = knowledge

    async def structure(self, context: CallContext, model: ReferenceModel) -> Findings | Failure:
        """The attributes of one model, or of one part of it; a failure if the reply has no JSON object."""
        template = self._knowledge.template.outline()
        variables = {"template": template, "name": model.name, "code": model.code}
        question = Question(self._knowledge, "attribute_structuring", variables)
        answer = await question.ask(self._model, context, Step.STRUCTURE, attributes_schema(template))
        if isinstance(answer, Failure):
            return answer
        attributes = extract_attributes(answer.text)
        if attributes is None:
            return reject_reply(Step.STRUCTURE, "the reply contains no list of attributes", answer.text)
        return Findings(model.name, attributes)
