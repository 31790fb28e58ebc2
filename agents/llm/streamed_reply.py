"""What has arrived of one answer, and what it is worth. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.llm.decoding import Piece
from agents.llm.faults import Fault, FaultKind
from agents.replies.source_replies import strip_reasoning
from fairnad.ports import Answer
from fairnad.records.candidate import Call, Failure, FailureKind, Step
from fairnad.records.prices import NOTHING, Price, Usage, estimated_tokens
from prompts.templates import Messages

LENGTH = "length"
"""The finish reason of an answer that the token limit cut off."""
CONTEXT = "context"
"""Stored in place of a finish reason: the prompt was too long to be answered."""
BROKEN = "broken"
"""Stored in place of a finish reason: the answer began and never reached its end."""

ESTIMATED = "tokens estimated, four characters each"
"""The note of a call whose endpoint does not report what it has counted."""

_LENGTH_REASONS = {
    "length", "max_tokens", "model_length", "max_length", "max_output_tokens", "max_new_tokens", "token_limit",
    "context_length", "incomplete",
}  # fmt: skip
"""Other names of :data:`LENGTH`."""
_BROKEN_REASONS = {
    "error", "abort", "aborted", "cancelled", "canceled", "timeout", "error_limit", "insufficient_system_resource",
    "malformed_function_call", "load", "unload",
}  # fmt: skip
"""Finish reasons of answers that the endpoint did not complete."""

TAIL_CHARACTERS = 2000
"""How much of a reply a failure shows."""


@dataclass
class Reception:
    """The pieces of one streamed answer; ``fault`` says why there will be no more.

    ``was_read`` is false where the endpoint refused the request, or was never reached: nothing is owed for it.
    """

    pieces: list[str] = field(default_factory=list)
    finish: str = ""
    counted_input: int = 0
    counted_output: int = 0
    num_reasoning_characters: int = 0
    num_pieces: int = 0
    fault: Fault | None = None
    was_read: bool = True

    def add(self, piece: Piece) -> None:
        """Take the next piece in. The last report of tokens counts: some endpoints report the sum so far."""
        self.num_pieces += 1
        self.pieces.append(piece.text)
        self.num_reasoning_characters += len(piece.reasoning)
        self.finish = piece.finish or self.finish
        if piece.is_last and not self.finish and self.text.strip():
            self.finish = "stop"
        self.counted_input = piece.input_tokens or self.counted_input
        self.counted_output = piece.output_tokens or self.counted_output

    @property
    def reports_usage(self) -> bool:
        """Whether the endpoint has counted the tokens, as far as that can be true of what was exchanged."""
        return self.counted_input > 0 and (self.counted_output > 0 or not self._num_written)

    @property
    def _num_written(self) -> int:
        """Characters of the answer and of the thoughts before it."""
        return len(self.text) + self.num_reasoning_characters

    @property
    def text(self) -> str:
        """The text so far, always encodable: a lone surrogate in the JSON could be neither stored nor sent."""
        return "".join(self.pieces).encode("utf-8", "replace").decode()

    @property
    def is_answer(self) -> bool:
        """Whether it is to be stored: an answer, a broken one that began, or the word that the prompt is too long."""
        return self.fault is None or self.fault.kind is FaultKind.TOO_LONG or self.num_pieces > 0

    def usage(self, messages: Messages, price: Price) -> Usage:
        """What the request has cost; estimated by the characters where the endpoint does not report it."""
        if not self.was_read:
            return NOTHING
        num_asked = sum(len(text) for _, text in messages)
        num_input = self.counted_input or estimated_tokens(num_asked)
        return price.usage(num_input, self.counted_output or estimated_tokens(self._num_written))

    @property
    def usage_note(self) -> str:
        """Empty where the endpoint reports what it has counted, or has read nothing."""
        return "" if self.reports_usage or not self.was_read else ESTIMATED

    @property
    def settled_note(self) -> str:
        """What the ledger notes of the request: what it failed of, and whether its cost is an estimate."""
        said = self.fault.message if self.fault is not None else ""
        return "; ".join(filter(None, (said, self.usage_note)))

    def answer(self, role: str, model: str, messages: Messages, seconds: float, price: Price) -> Answer:
        """What is stored of it."""
        text = strip_reasoning(self.text)
        finish, notes = LENGTH if self.finish in _LENGTH_REASONS else self.finish, []
        if self.fault is not None:
            finish = CONTEXT if self.fault.kind is FaultKind.TOO_LONG else BROKEN
            notes.append(self.fault.message)
        elif not finish:
            finish = BROKEN
            notes.append("the answer ends without a finish reason")
        elif finish in _BROKEN_REASONS:
            notes.append(f"the endpoint ended the answer with the reason {finish}")
            finish = BROKEN
        elif not text.strip():
            has_thought = self.text.strip() or self.num_reasoning_characters
            notes.append("nothing but reasoning" if has_thought else "empty")
        elif finish == LENGTH:
            notes.append("cut off at the token limit")
        if self.usage_note:
            notes.append(self.usage_note)
        ok = finish not in (CONTEXT, BROKEN) and bool(text.strip())
        spent = self.usage(messages, price)
        call = Call(
            role=role,
            model=model,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            seconds=round(seconds, 3),
            ok=ok,
            note="; ".join(notes),
            usd=spent.usd,
        )
        return Answer(call, messages, text, finish)


def is_empty(answer: Answer) -> bool:
    """Whether an answer reached its end and says nothing."""
    return not answer.text.strip() and answer.finish not in (LENGTH, CONTEXT, BROKEN)


def is_cut(answer: Answer) -> bool:
    """Whether the token limit cut an answer off that had begun to say something."""
    return bool(answer.text.strip()) and answer.finish == LENGTH


def failure(answer: Answer, step: Step) -> Failure | None:
    """Why an answer, asked for as often as it may be, is no use; ``None`` where it is."""
    note, tail = answer.call.note, answer.text[-TAIL_CHARACTERS:]
    if answer.finish == CONTEXT:
        return Failure(step, FailureKind.CONTEXT, f"the prompt does not fit the model's context ({note})")
    if answer.finish == BROKEN:
        return Failure(step, FailureKind.BROKEN, f"the endpoint broke every answer off ({note})", tail)
    if answer.finish == LENGTH:
        what = "the reply" if answer.text.strip() else "the model's reasoning"
        message = f"{what} does not end within {answer.max_tokens} tokens (--llm.max-tokens)"
        return Failure(step, FailureKind.TRUNCATED, message, tail)
    if is_empty(answer):
        reason = "" if answer.finish == "stop" else f" (finish reason {answer.finish})"
        return Failure(step, FailureKind.REPLY, f"the reply is empty, twice{reason}")
    return None
