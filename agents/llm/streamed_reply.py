"""One streamed reply as it arrives, and the answer made from it. Pure."""

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
"""The note of a call whose endpoint does not count tokens."""

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
class StreamedReply:
    """The pieces of one reply; ``fault`` says why no more will come.

    ``was_read`` is false if the endpoint refused the request or was not reached; the request then costs nothing.
    ``input_tokens`` and ``output_tokens`` are the endpoint's counts, 0 without any.
    """

    pieces: list[str] = field(default_factory=list)
    finish: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    num_reasoning_characters: int = 0
    num_pieces: int = 0
    seconds: float = 0.0
    fault: Fault | None = None
    was_read: bool = True

    def add(self, piece: Piece) -> None:
        """Add the next piece. The last count of tokens is used: some endpoints report the sum so far."""
        self.num_pieces += 1
        self.pieces.append(piece.text)
        self.num_reasoning_characters += len(piece.reasoning)
        self.finish = piece.finish or self.finish
        if piece.is_last and not self.finish and self.text.strip():
            self.finish = "stop"
        self.input_tokens = piece.input_tokens or self.input_tokens
        self.output_tokens = piece.output_tokens or self.output_tokens

    @property
    def text(self) -> str:
        """The text so far, always encodable: a lone surrogate in the JSON could be neither stored nor sent."""
        return "".join(self.pieces).encode("utf-8", "replace").decode()

    @property
    def reports_usage(self) -> bool:
        """Whether the endpoint has counted the tokens, and the counts can be true."""
        return self.input_tokens > 0 and (self.output_tokens > 0 or not self._num_characters)

    @property
    def is_answer(self) -> bool:
        """Whether to store it: a complete or broken-off answer, or the message that the prompt is too long."""
        return self.fault is None or self.fault.kind is FaultKind.TOO_LONG or self.num_pieces > 0

    @property
    def ledger_note(self) -> str:
        """The reason of a failed request, and a remark if its cost is estimated; possibly empty."""
        fault = self.fault.message if self.fault is not None else ""
        return "; ".join(filter(None, (fault, self._usage_note)))

    def usage(self, messages: Messages, price: Price) -> Usage:
        """The cost of the request; estimated from the characters if the endpoint does not count."""
        if not self.was_read:
            return NOTHING
        num_asked = sum(len(text) for _, text in messages)
        num_input = self.input_tokens or estimated_tokens(num_asked)
        return price.usage(num_input, self.output_tokens or estimated_tokens(self._num_characters))

    def to_answer(self, role: str, model: str, messages: Messages, price: Price) -> Answer:
        """The answer that is stored."""
        text = strip_reasoning(self.text)
        finish, note = self._judge_finish(text)
        spent = self.usage(messages, price)
        call = Call(
            role=role,
            model=model,
            input_tokens=spent.input_tokens,
            output_tokens=spent.output_tokens,
            seconds=round(self.seconds, 3),
            ok=finish not in (CONTEXT, BROKEN) and bool(text.strip()),
            note="; ".join(filter(None, (note, self._usage_note))),
            usd=spent.usd,
        )
        return Answer(call, messages, text, finish)

    def _judge_finish(self, text: str) -> tuple[str, str]:
        """(the finish reason as it is stored, a note on what went wrong)."""
        if self.fault is not None:
            return CONTEXT if self.fault.kind is FaultKind.TOO_LONG else BROKEN, self.fault.message
        if not self.finish:
            return BROKEN, "the answer ends without a finish reason"
        if self.finish in _BROKEN_REASONS:
            return BROKEN, f"the endpoint ended the answer with the reason {self.finish}"
        finish = LENGTH if self.finish in _LENGTH_REASONS else self.finish
        if not text.strip():
            has_thought = self.text.strip() or self.num_reasoning_characters
            return finish, "reasoning only" if has_thought else "empty"
        return finish, "cut off at the token limit" if finish == LENGTH else ""

    @property
    def _num_characters(self) -> int:
        """Characters of the answer and of the reasoning before it."""
        return len(self.text) + self.num_reasoning_characters

    @property
    def _usage_note(self) -> str:
        return "" if self.reports_usage or not self.was_read else ESTIMATED


def is_empty(answer: Answer) -> bool:
    """Whether a complete answer is empty."""
    return not answer.text.strip() and answer.finish not in (LENGTH, CONTEXT, BROKEN)


def is_cut(answer: Answer) -> bool:
    """Whether the token limit cut off an answer that had begun."""
    return bool(answer.text.strip()) and answer.finish == LENGTH


def find_failure(answer: Answer, step: Step) -> Failure | None:
    """The failure if the last answer to a prompt cannot be used, or ``None``."""
    note, tail = answer.call.note, answer.text[-TAIL_CHARACTERS:]
    if answer.finish == CONTEXT:
        return Failure(step, FailureKind.CONTEXT, f"the prompt does not fit the model's context ({note})")
    if answer.finish == BROKEN:
        return Failure(step, FailureKind.BROKEN, f"the endpoint cut off every answer ({note})", tail)
    if answer.finish == LENGTH:
        what = "the reply" if answer.text.strip() else "the model's reasoning"
        message = f"{what} does not end within {answer.max_tokens} tokens (--llm.max-tokens)"
        return Failure(step, FailureKind.TRUNCATED, message, tail)
    if is_empty(answer):
        reason = "" if answer.finish == "stop" else f" (finish reason {answer.finish})"
        return Failure(step, FailureKind.REPLY, f"the reply was empty twice{reason}")
    return None
