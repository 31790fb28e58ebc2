"""Shared by the roles: prompts that can be shortened, and source read from replies as a whole file or as edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from agents.llm.client import LanguageModel
from agents.llm.streamed_reply import TAIL_CHARACTERS
from agents.replies.edit_replies import edit_by
from agents.replies.edits import EditError, NoEditError
from agents.replies.reply_schemas import Schema
from agents.replies.source_replies import extract_source
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.loader import Pack, edit_correction
from prompts.templates import Messages


class Prompts(Protocol):
    """A source of prompts: a pack, or its part for knowledge."""

    def messages(self, name: str, /, **variables: object) -> Messages:
        """The prompt of that name, filled in."""


@dataclass(frozen=True)
class Question:
    """A prompt with its variables; ``droppable`` names the optional ones, least important first."""

    prompts: Prompts
    name: str
    variables: Mapping[str, object]
    droppable: tuple[str, ...] = ()

    def shorten(self, num_left_out: int) -> Messages | None:
        """The prompt with the first ``num_left_out`` droppable variables empty; ``None`` past the last.

        Variables that are empty already do not count: without them the prompt would be no shorter.
        """
        present = [name for name in self.droppable if self.variables[name]]
        if num_left_out > len(present):
            return None
        emptied = dict.fromkeys(present[:num_left_out], "")
        return self.prompts.messages(self.name, **{**self.variables, **emptied})

    async def ask(
        self, model: LanguageModel, context: CallContext, step: Step, schema: Schema | None = None
    ) -> Answer | Failure:
        """The model's answer, or why there is none; ``schema`` describes an answer that is JSON data."""
        messages = self.prompts.messages(self.name, **self.variables)
        return await model.complete(self.name, context, messages, step=step, shorten=self.shorten, schema=schema)


@dataclass(frozen=True)
class WrittenSource:
    """A source with its ``reply``; ``note`` lists irregularities of the edits."""

    source: str
    reply: str
    note: str = ""


class SourceWriter:
    """A role that writes source code by a language model.

    Args:
        edit_format: how candidates are written if their draw decided nothing: ``full``, ``edit`` or ``module``.
    """

    def __init__(self, model: LanguageModel, pack: Pack, edit_format: str = "full") -> None:
        self._model = model
        self._pack = pack
        self._edit_format = edit_format

    def _format(self, context: CallContext) -> str:
        return context.choices.form or self._edit_format

    async def _write(
        self,
        whole_prompt: str,
        edit_prompt: str,
        variables: Mapping[str, object],
        droppable: tuple[str, ...],
        *,
        context: CallContext,
        source: str,
        step: Step,
    ) -> WrittenSource | Failure:
        """The new source, as edits of ``source`` unless the candidate is written as whole files.

        A pack without the edit prompt is asked for a whole file.
        """
        if self._format(context) != "full" and self._pack.has(edit_prompt):
            question = Question(self._pack, edit_prompt, variables, droppable)
            return await ask_for_edits(question, self._model, context, source, step)
        answer = await Question(self._pack, whole_prompt, variables, droppable).ask(self._model, context, step)
        if isinstance(answer, Failure):
            return answer
        found = extract_source(answer.text)
        if found is None:
            return reject_reply(step, "the reply contains no Python file", answer.text)
        return WrittenSource(found, answer.text)


async def ask_for_edits(
    question: Question, model: LanguageModel, context: CallContext, source: str, step: Step
) -> WrittenSource | Failure:
    """``source`` as the model edits it; a reply that is a whole file replaces it.

    Edits that cannot be applied are asked for once more, with the reason.
    """
    answer = await question.ask(model, context, step)
    if isinstance(answer, Failure):
        return answer
    try:
        edited = edit_by(answer.text, source)
    except EditError as error:
        correction = edit_correction(str(error), error.closest)
    except NoEditError as error:
        return reject_reply(step, str(error), answer.text)
    else:
        return WrittenSource(edited.source, answer.text, "; ".join(edited.remarks))
    messages = (*answer.messages, ("assistant", answer.text), ("user", correction))
    again = await model.complete(f"{question.name}_again", context, messages, step=step)
    if isinstance(again, Failure):
        return again
    try:
        edited = edit_by(again.text, source)
    except NoEditError as error:
        return reject_reply(step, str(error), getattr(error, "closest", "") or again.text)
    return WrittenSource(edited.source, answer.text, "; ".join(("second attempt at the edits", *edited.remarks)))


def reject_reply(step: Step, message: str, reply: str) -> Failure:
    """The failure of a reply that cannot be used."""
    return Failure(step, FailureKind.REPLY, message, reply[-TAIL_CHARACTERS:])
