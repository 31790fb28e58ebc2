"""Which endpoint answers a call, and which one where that is down."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agents.llm.connection import Connection, Down
from agents.llm.quirks import Schema
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallKey, Errand, Ledger
from fairnad.search.model_choice import order_of_names
from fairnad.settings.search_settings import LanguageModelSettings
from prompts.templates import Messages

RESUME_ADVICE = "; nothing is lost; run the same command again to resume"
"""How the message of every :class:`~fairnad.errors.EndpointError` ends."""

_FIRST_REST_SECONDS = 30.0
_LONGEST_REST_SECONDS = 600.0

_PLAYERS = {
    "mutation": "mutator",
    "idea_mutation": "idea_mutator",
    "debug": "debugger",
    "downscale": "downscaler",
    "structural_judge": "structural_judge",
    "attribute_structuring": "structurer",
    "paper_filter": "reader",
    "idea_extraction": "reader",
    "question": "librarian",
}
"""Who asks a prompt, by how the prompt's name begins."""


@dataclass
class _Rest:
    """How long an endpoint is left alone that was down; ``num_times`` in a row."""

    until: float = 0.0
    num_times: int = 0


class ModelPool:
    """The endpoints of the settings; ``connections`` are in their order.

    An endpoint that is down is set aside for a time that doubles until it answers again, and its calls go to another
    that may play the role. When it is tried again it gets a single try, as long as there is another.
    """

    def __init__(
        self,
        settings: LanguageModelSettings,
        *,
        ledger: Ledger,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set the clients up; nothing is sent yet.

        Args:
            ledger: is asked before each request, and told what it has cost.
            sleep: how delays between requests are spent.
            clock: the seconds delays are measured by.

        Raises:
            SettingsError: a base URL is none.
        """
        self.connections = tuple(Connection(entry, settings, ledger, sleep, clock) for entry in settings.entries)
        self._clock = clock
        self._rests = {connection: _Rest() for connection in self.connections}

    async def fetch(self, key: CallKey, errand: Errand, messages: Messages, schema: Schema | None = None) -> Answer:
        """What an endpoint answers; where it took another than the first, the call's note says why.

        Raises:
            EndpointError: every endpoint is gone for good, or refuses the key, the model or the request.
            StoppingError: the run is being stopped.
        """
        downs: list[str] = []
        waiting = self._in_order(key.role, errand)
        while waiting:
            connection = waiting.pop(0)
            max_retries = 0 if waiting and self._rests[connection].num_times else None
            try:
                answer = await connection.fetch(key, messages, schema, max_retries=max_retries)
            except Down as down:
                self._set_aside(connection)
                downs.append(str(down))
                waiting.sort(key=self._is_aside)
                continue
            self._rests[connection] = _Rest()
            return _noted(answer, downs)
        raise EndpointError(_gone(downs))

    def stop(self) -> None:
        """Begin no new call; what is under way goes on."""
        for connection in self.connections:
            connection.stop()

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await asyncio.gather(*(connection.aclose() for connection in self.connections))

    def _in_order(self, role: str, errand: Errand) -> list[Connection]:
        """Those that may answer, the first to be asked first; of one name, the one with the least to do."""
        entries = [connection.entry for connection in self.connections]
        digest = hashlib.sha256(errand.candidate_id.encode()).digest()
        words = [errand.seed, int.from_bytes(digest[:8]), errand.version]
        names = order_of_names(entries, _player(role), errand.choices.model, words)

        def key(connection: Connection) -> tuple[bool, int, float, float]:
            load = connection.num_open / connection.entry.concurrency
            return self._is_aside(connection), names.index(connection.entry.title), connection.seconds_halted, load

        return sorted((one for one in self.connections if one.entry.title in names), key=key)

    def _is_aside(self, connection: Connection) -> bool:
        return self._rests[connection].until > self._clock()

    def _set_aside(self, connection: Connection) -> None:
        """Leave an endpoint alone for a time; calls that fail together count once."""
        if not self._is_aside(connection):
            num_times = self._rests[connection].num_times
            seconds = min(_FIRST_REST_SECONDS * 2**num_times, _LONGEST_REST_SECONDS)
            self._rests[connection] = _Rest(self._clock() + seconds, num_times + 1)


def _player(role: str) -> str:
    return next((player for prefix, player in _PLAYERS.items() if role.startswith(prefix)), "")


def _noted(answer: Answer, downs: list[str]) -> Answer:
    if not downs:
        return answer
    notes = [answer.call.note, *(f"asked in place of {down}" for down in downs)]
    return replace(answer, call=replace(answer.call, note="; ".join(filter(None, notes))))


def _gone(downs: list[str]) -> str:
    if len(downs) == 1:
        return f"{downs[0]}{RESUME_ADVICE}"
    return "\n".join([f"none of {len(downs)} endpoints answers{RESUME_ADVICE}", *(f"  {down}" for down in downs)])
