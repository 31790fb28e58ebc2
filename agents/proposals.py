"""What the roles that write source have in common: a question, asked shorter if need be, and a file in the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agents.connection import Schema
from agents.llm import LanguageModel
from agents.reception import TAIL_CHARACTERS
from agents.replies import extract_source
from fairnad.candidate import Failure, FailureKind, Step
from fairnad.ideas import Idea
from fairnad.ports import Answer, Errand, Proposal
from prompts.templates import Messages


class Wording(Protocol):
    """Where prompts come from: a pack, or the part of one that knowledge is built by."""

    def messages(self, role: str, **variables: object) -> Messages:
        """The prompt of a role, filled in."""


@dataclass(frozen=True)
class Question:
    """A prompt of the pack with its variables; ``droppable`` names those it can do without, least needed first."""

    pack: Wording
    role: str
    variables: Mapping[str, object]
    droppable: tuple[str, ...] = ()

    def messages(self) -> Messages:
        """The whole prompt."""
        return self.pack.messages(self.role, **self.variables)

    def shortened(self, num_left_out: int) -> Messages | None:
        """The prompt with the first ``num_left_out`` droppable variables empty; ``None`` past the last."""
        if num_left_out > len(self.droppable):
            return None
        emptied = dict.fromkeys(self.droppable[:num_left_out], "")
        return self.pack.messages(self.role, **{**self.variables, **emptied})

    async def ask(
        self, model: LanguageModel, errand: Errand, step: Step, schema: Schema | None = None
    ) -> Answer | Failure:
        """The model's answer, or why there is none; ``schema`` is the form of one that is data."""
        messages = self.messages()
        return await model.complete(self.role, errand, messages, step=step, shorten=self.shortened, schema=schema)


def read_proposal(answer: Answer | Failure, step: Step, prompt: str, idea: Idea | None = None) -> Proposal | Failure:
    """The source an answer holds.

    Args:
        prompt: what the candidate was made by, for the roles that come later.
        idea: the idea behind the source, where the answer names it.
    """
    if isinstance(answer, Failure):
        return answer
    source = extract_source(answer.text)
    if source is None:
        message = "the reply holds no Python file"
        return Failure(step, FailureKind.REPLY, message, answer.text[-TAIL_CHARACTERS:])
    return Proposal(source, prompt, idea)
