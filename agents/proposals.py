"""What the roles that write source have in common: a question, asked shorter if need be, and a file in the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agents.edit_replies import edit_by
from agents.edits import EditError
from agents.llm import LanguageModel
from agents.reception import TAIL_CHARACTERS
from agents.replies import extract_source
from fairnad.candidate import Failure, FailureKind, Step
from fairnad.ideas import Idea
from fairnad.ports import Answer, Errand, Proposal
from prompts.loader import edit_correction
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

    async def ask(self, model: LanguageModel, errand: Errand, step: Step) -> Answer | Failure:
        """The model's answer, or why there is none."""
        return await model.complete(self.role, errand, self.messages(), step=step, shorten=self.shortened)


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


async def propose_by_edits(
    question: Question,
    model: LanguageModel,
    errand: Errand,
    source: str,
    prompt: str,
    step: Step = Step.MUTATE,
) -> Proposal | Failure:
    """``source`` as the model edits it. Edits that cannot be carried out are asked for once more, told what is wrong.

    Args:
        question: asks for edits of ``source``; a reply that is a whole file is taken as one.
        prompt: what the candidate was made by, for the roles that come later.
    """
    answer = await question.ask(model, errand, step)
    if isinstance(answer, Failure):
        return answer
    first = _read_edits(answer, source, prompt, step)
    if not isinstance(first, Failure):
        return first
    told = edit_correction(first.message, first.log_tail)
    messages = (*answer.messages, ("assistant", answer.text), ("user", told))
    again = await model.complete(f"{question.role}_again", errand, messages, step=step)
    return first if isinstance(again, Failure) else _read_edits(again, source, prompt, step)


def _read_edits(answer: Answer, source: str, prompt: str, step: Step) -> Proposal | Failure:
    try:
        edited = edit_by(answer.text, source)
    except EditError as error:
        return Failure(step, FailureKind.REPLY, str(error), error.closest or answer.text[-TAIL_CHARACTERS:])
    return Proposal(edited.source, prompt, note="; ".join(edited.remarks))
