"""Rate limit of one endpoint: requests and tokens per minute, and the limits in its headers.

LangChain's ``InMemoryRateLimiter`` counts requests only, and polls the wall clock. Tokens per minute need a bucket that
a request takes many tokens from and that is corrected afterwards; the same bucket counts requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_BURST_MINUTES = 0.1
"""Seconds for which unused allowance is kept. A longer time would allow nearly twice the limit in one minute."""
_LONGEST_HALT_SECONDS = 600.0
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Bucket:
    """A token bucket that may be overdrawn; the caller then waits until it is refilled to 0."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._level = self._capacity = max(1.0, per_minute * _BURST_MINUTES)
        self._clock = clock
        self._filled_at = clock()

    def take(self, amount: float) -> float:
        """Take an amount, or put it back if negative; returns the seconds to wait before it may be used."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        risen = self._level + (now - self._filled_at) * self._per_second
        self._filled_at = now
        self._level = min(risen, self._capacity) - amount
        return max(0.0, -self._level / self._per_second)


class RateLimit:
    """The limits of one endpoint; 0 per minute is unlimited.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, clock: Callable[[], float]) -> None:
        self._requests = _Bucket(requests_per_minute, clock)
        self._tokens = _Bucket(tokens_per_minute, clock)
        self._clock = clock
        self._halted_until = 0.0

    def reserve(self, num_tokens: float) -> float:
        """Reserve one request with its tokens; returns the seconds to wait before it may be sent."""
        return max(self._requests.take(1), self._tokens.take(num_tokens))

    def correct(self, num_reserved: float, num_spent: float) -> None:
        """Replace the reserved tokens by the spent ones."""
        self._tokens.take(num_spent - num_reserved)

    @property
    def seconds_halted(self) -> float:
        """Seconds until the endpoint accepts requests again."""
        return max(0.0, self._halted_until - self._clock())

    def halt(self, seconds: float) -> None:
        """Send no request for some seconds; a halt is never shortened."""
        self._halted_until = max(self._halted_until, self._clock() + min(seconds, _LONGEST_HALT_SECONDS))

    def apply_headers(self, headers: Mapping[str, str]) -> None:
        """Halt until a limit is renewed, if the headers of a response say that it is used up."""
        for what in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
                self.halt(_parse_seconds(headers.get(f"x-ratelimit-reset-{what}", "")))


def _parse_seconds(text: str) -> float:
    """``6m0s``, ``20ms`` or a bare number of seconds; 0 for anything else."""
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
