"""How fast one endpoint may be asked: requests and tokens a minute, and what it asks for in its headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_BURST_MINUTES = 0.1
"""What has not been used is saved up for so long: more would let nearly twice the limit pass in one minute."""
_LONGEST_HALT_SECONDS = 600.0
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Bucket:
    """A token bucket that may be overdrawn: who overdraws it waits until it is even again."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._capacity = max(1.0, per_minute * _BURST_MINUTES)
        self._level = self._capacity
        self._clock = clock
        self._filled_at = clock()

    def take(self, amount: float) -> float:
        """Take something out, or put it back where negative; the seconds to wait before it may be used."""
        if not self._per_second:
            return 0.0
        now = self._clock()
        risen = self._level + (now - self._filled_at) * self._per_second
        self._filled_at = now
        self._level = min(risen, self._capacity) - amount
        return max(0.0, -self._level / self._per_second)


class RateLimit:
    """The limits of one endpoint; 0 a minute is no limit."""

    def __init__(self, requests_per_minute: int, tokens_per_minute: int, clock: Callable[[], float]) -> None:
        """Begin with as much as may be used at once.

        Args:
            clock: seconds that only grow.
        """
        self._requests = _Bucket(requests_per_minute, clock)
        self._tokens = _Bucket(tokens_per_minute, clock)
        self._clock = clock
        self._halted_until = 0.0

    def reserve(self, num_tokens: float) -> float:
        """Take one request of so many tokens; the seconds to wait before it may be sent."""
        return max(self._requests.take(1), self._tokens.take(num_tokens))

    def correct(self, num_reserved: float, num_spent: float) -> None:
        """Say how many tokens a request took that were estimated when it was reserved."""
        self._tokens.take(num_spent - num_reserved)

    @property
    def seconds_halted(self) -> float:
        """How long no request may be sent, because the endpoint asked for that."""
        return max(0.0, self._halted_until - self._clock())

    def halt(self, seconds: float) -> None:
        """Send nothing for a time; a halt that is under way is never shortened."""
        self._halted_until = max(self._halted_until, self._clock() + min(seconds, _LONGEST_HALT_SECONDS))

    def heed(self, headers: Mapping[str, str]) -> None:
        """Halt where the headers of a response say that nothing is left of a limit, until it is renewed."""
        for what in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
                self.halt(_duration_seconds(headers.get(f"x-ratelimit-reset-{what}", "")))


def _duration_seconds(text: str) -> float:
    """``6m0s``, ``20ms`` or a bare number of seconds; 0 where it is none of them."""
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
