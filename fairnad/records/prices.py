"""The cost of calls: tokens and US dollars."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fairnad.settings.model_entries import LanguageModelSettings, ModelEntry

CHARACTERS_A_TOKEN = 3
"""Characters per token of source code. Prose has about four, so estimates are on the high side."""

_CHARACTERS_A_TOKEN_ON_AVERAGE = 4
_TOKENS_A_MESSAGE = 8
"""Reserve for what a chat template adds to each message."""


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
"""The usage of a refused request."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens read (``input``) and written (``output``)."""

    input: float = 0.0
    output: float = 0.0

    @property
    def is_known(self) -> bool:
        """Whether a price is known; otherwise money cannot be counted."""
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
    """The names of models without a known price."""
    return [entry.title for entry in settings.models if not price_of(entry).is_known]


def dearest(settings: LanguageModelSettings) -> Price:
    """The highest input and output price of all models in the settings."""
    known = [price_of(entry) for entry in settings.models]
    return Price(max((price.input for price in known), default=0), max((price.output for price in known), default=0))


def estimated_tokens(num_characters: int) -> int:
    """An estimate for endpoints that report no token counts; at least 1 for non-empty text."""
    return math.ceil(num_characters / _CHARACTERS_A_TOKEN_ON_AVERAGE)


def most_input_tokens(messages: Iterable[tuple[str, str]]) -> int:
    """An upper estimate of the tokens of a prompt, by its bytes, because rare letters take more tokens."""
    return sum(
        math.ceil(len(text.encode("utf-8", "replace")) / CHARACTERS_A_TOKEN) + _TOKENS_A_MESSAGE for _, text in messages
    )
