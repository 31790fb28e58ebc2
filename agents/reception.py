"""What has arrived of one answer, and what it is worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agents.faults import Fault, FaultKind
from agents.replies import strip_reasoning
from fairnad.candidate import Call, Failure, FailureKind, Step
from fairnad.ports import Answer
from prompts.templates import Messages

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessageChunk

LENGTH = "length"
"""The finish reason of an answer that the token limit cut off."""
CONTEXT = "context"
"""Stored in place of a finish reason: the prompt was too long to be answered."""
BROKEN = "broken"
"""Stored in place of a finish reason: the answer began and never reached its end."""

TAIL_CHARACTERS = 2000
"""How much of a reply a failure shows."""


@dataclass
class Reception:
    """The pieces of one streamed answer; ``fault`` says why there will be no more."""

    pieces: list[str] = field(default_factory=list)
    finish: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    reports_usage: bool = False
    num_chunks: int = 0
    fault: Fault | None = None

    def add(self, chunk: BaseMessageChunk) -> None:
        """Take the next piece in."""
        self.num_chunks += 1
        self.pieces.append(str(chunk.text))
        self.finish = chunk.response_metadata.get("finish_reason") or self.finish
        usage = getattr(chunk, "usage_metadata", None)
        if usage is not None:  # the last report counts: some servers report the sum so far with every chunk
            self.input_tokens, self.output_tokens = usage["input_tokens"], usage["output_tokens"]
            self.reports_usage = True

    @property
    def text(self) -> str:
        """The text so far, always encodable: a lone surrogate in the JSON could be neither stored nor sent."""
        return "".join(self.pieces).encode("utf-8", "replace").decode()

    @property
    def is_answer(self) -> bool:
        """Whether it is to be stored: an answer, a broken one that began, or the word that the prompt is too long."""
        return self.fault is None or self.fault.kind is FaultKind.TOO_LONG or self.num_chunks > 0

    def answer(self, role: str, model: str, messages: Messages, seconds: float) -> Answer:
        """What is stored of it."""
        text = strip_reasoning(self.text)
        finish, notes = self.finish, []
        if self.fault is not None:
            finish = CONTEXT if self.fault.kind is FaultKind.TOO_LONG else BROKEN
            notes.append(self.fault.message)
        elif not finish:
            finish = BROKEN
            notes.append("the answer ends without a finish reason")
        elif not text.strip():
            notes.append("nothing but reasoning" if self.text.strip() else "empty")
        elif finish == LENGTH:
            notes.append("cut off at the token limit")
        if not self.reports_usage and finish != CONTEXT:
            notes.append("no token counts reported")
        ok = finish not in (CONTEXT, BROKEN) and bool(text.strip())
        call = Call(role, model, self.input_tokens, self.output_tokens, round(seconds, 3), ok, "; ".join(notes))
        return Answer(call, messages, text, finish)


def is_empty(answer: Answer) -> bool:
    """Whether an answer reached its end and says nothing."""
    return not answer.text.strip() and answer.finish not in (LENGTH, CONTEXT, BROKEN)


def is_cut(answer: Answer) -> bool:
    """Whether the token limit cut an answer off that had begun to say something."""
    return bool(answer.text.strip()) and answer.finish == LENGTH


def failure(answer: Answer, step: Step, max_tokens: int) -> Failure | None:
    """Why an answer, asked for as often as it may be, is no use; ``None`` where it is."""
    note, tail = answer.call.note, answer.text[-TAIL_CHARACTERS:]
    if answer.finish == CONTEXT:
        return Failure(step, FailureKind.CONTEXT, f"the prompt does not fit the model's context ({note})")
    if answer.finish == BROKEN:
        return Failure(step, FailureKind.REPLY, f"the endpoint broke every answer off ({note})", tail)
    if answer.finish == LENGTH:
        what = "the reply" if answer.text.strip() else "the model's reasoning"
        message = f"{what} does not end within {max_tokens} tokens (--llm.max-tokens)"
        return Failure(step, FailureKind.TRUNCATED, message, tail)
    if is_empty(answer):
        return Failure(step, FailureKind.REPLY, "the reply is empty, twice")
    return None
