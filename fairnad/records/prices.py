"""What calls of a language model cost: tokens, and US dollars at a price."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fairnad.settings.model_entries import ModelEntry
from fairnad.settings.search_settings import LanguageModelSettings

CHARACTERS_A_TOKEN = 3
"""Of source code; prose has about four, so that what a call may take is over- rather than underestimated."""

_CHARACTERS_A_TOKEN_ON_AVERAGE = 4
_TOKENS_A_MESSAGE = 8
"""Room for what a chat template puts around each message."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written, and their price in US dollars."""

    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, self.usd + other.usd
        )

    @property
    def tokens(self) -> int:
        """Read and written together."""
        return self.input_tokens + self.output_tokens


NOTHING = Usage()
"""What was refused before it was read costs nothing."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens read (``input``) and written (``output``)."""

    input: float = 0.0
    output: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether anything costs anything: where nobody stated a price, money cannot be counted."""
        return self.input > 0 or self.output > 0

    def usd(self, input_tokens: int, output_tokens: int) -> float:
        """The price of one call in US dollars."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6

    def usage(self, input_tokens: int, output_tokens: int) -> Usage:
        """Tokens with their price."""
        return Usage(input_tokens, output_tokens, self.usd(input_tokens, output_tokens))


def price_of(entry: ModelEntry) -> Price:
    """The price of one model at one endpoint."""
    return Price(entry.price_input, entry.price_output)


def unpriced(settings: LanguageModelSettings) -> list[str]:
    """The models, by what they are called, whose price nobody has stated."""
    return [entry.title for entry in settings.entries if not price_of(entry).is_known]


def dearest(settings: LanguageModelSettings) -> Price:
    """The highest price any model of these settings has for reading, and for writing."""
    known = [price_of(entry) for entry in settings.entries]
    return Price(max((price.input for price in known), default=0), max((price.output for price in known), default=0))


def estimated_tokens(num_characters: int) -> int:
    """About how many tokens a text has, for endpoints that report none; never 0 where there is any text."""
    return math.ceil(num_characters / _CHARACTERS_A_TOKEN_ON_AVERAGE)


def most_input_tokens(messages: Iterable[tuple[str, str]]) -> int:
    """How many tokens a prompt has at most, as far as its length tells: by its bytes, since rare letters take more."""
    return sum(
        math.ceil(len(text.encode("utf-8", "replace")) / CHARACTERS_A_TOKEN) + _TOKENS_A_MESSAGE for _, text in messages
    )
