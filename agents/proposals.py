"""What the roles that write source have in common: a question, asked shorter if need be, and a file in the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agents.llm.client import LanguageModel
from agents.llm.quirks import Schema
from agents.llm.streamed_reply import TAIL_CHARACTERS
from agents.replies.edit_replies import edit_by
from agents.replies.edits import EditError, NoEditError
from agents.replies.source_replies import extract_source
from fairnad.ideas.idea import Idea
from fairnad.ports import Answer, Errand, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.loader import Pack, edit_correction
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
        """The prompt with the first ``num_left_out`` droppable variables empty; ``None`` past the last.

        Variables that say nothing are not counted: without them the prompt would be no shorter.
        """
        present = [name for name in self.droppable if self.variables[name]]
        if num_left_out > len(present):
            return None
        emptied = dict.fromkeys(present[:num_left_out], "")
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


@dataclass(frozen=True)
class EditedReply:
    """A source as a reply edits it; ``text`` is the reply, ``note`` what was not as it should be with the edits."""

    source: str
    text: str
    note: str


async def ask_for_edits(
    question: Question, model: LanguageModel, errand: Errand, source: str, step: Step
) -> EditedReply | Failure:
    """``source`` as the model edits it. Edits that cannot be carried out are asked for once more, told what is wrong.

    Args:
        question: asks for edits of ``source``; a reply that is a whole file is taken as one.
    """
    answer = await question.ask(model, errand, step)
    if isinstance(answer, Failure):
        return answer
    try:
        edited = edit_by(answer.text, source)
    except EditError as error:
        told = edit_correction(str(error), error.closest)
    except NoEditError as error:
        return Failure(step, FailureKind.REPLY, str(error), answer.text[-TAIL_CHARACTERS:])
    else:
        return EditedReply(edited.source, answer.text, "; ".join(edited.remarks))
    messages = (*answer.messages, ("assistant", answer.text), ("user", told))
    again = await model.complete(f"{question.role}_again", errand, messages, step=step)
    return again if isinstance(again, Failure) else _second_try(again, source, answer.text, step)


def _second_try(answer: Answer, source: str, first: str, step: Step) -> EditedReply | Failure:
    try:
        edited = edit_by(answer.text, source)
    except NoEditError as error:
        closest = error.closest if isinstance(error, EditError) else ""
        return Failure(step, FailureKind.REPLY, str(error), closest or answer.text[-TAIL_CHARACTERS:])
    return EditedReply(edited.source, first, "; ".join(("edits written twice", *edited.remarks)))


async def propose_by_edits(
    question: Question, model: LanguageModel, errand: Errand, source: str, prompt: str, step: Step
) -> Proposal | Failure:
    """The same as a proposal.

    Args:
        prompt: what the candidate was made by, for the roles that come later.
    """
    reply = await ask_for_edits(question, model, errand, source, step)
    return reply if isinstance(reply, Failure) else Proposal(reply.source, prompt, note=reply.note)


def writes_edits(pack: Pack, role: str, errand: Errand, form: str) -> bool:
    """Whether a role answers in edits: the candidate is not written as whole files, and the pack has the prompt.

    Args:
        form: how candidates are written where the draw chose nothing.
    """
    return (errand.choices.form or form) != "full" and pack.has(role)
