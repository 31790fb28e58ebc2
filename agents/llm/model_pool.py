"""Chooses the endpoint for each call, and another one if it is down."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agents.llm.connection import Connection, Down
from agents.replies.reply_schemas import Schema
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallContext, CallKey, Ledger
from fairnad.roles import role_of_call
from fairnad.search.model_choice import order_of_names
from fairnad.settings.model_entries import LanguageModelSettings
from prompts.templates import Messages

RESUME_ADVICE = "; nothing is lost; run the same command again to resume"
"""How the message of every :class:`~fairnad.errors.EndpointError` ends."""

_FIRST_REST_SECONDS = 30.0
_LONGEST_REST_SECONDS = 600.0


@dataclass
class _Rest:
    """The pause of an endpoint that was down ``num_times`` in a row."""

    until: float = 0.0
    num_times: int = 0


class ModelPool:
    """The endpoints of the settings; ``connections`` are in their order.

    An endpoint that is down is set aside for a time that doubles until it answers again, and its calls go to another
    one that may play the role. After that time it gets a single attempt per call if another endpoint is available.
    """

    def __init__(
        self,
        settings: LanguageModelSettings,
        ledger: Ledger,
        sleep: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        """Prepare the clients; nothing is sent yet.

        Args:
            ledger: reserves each request before it is sent, and records its cost.
            sleep: waits between requests.
            clock: measures the delays, in seconds.

        Raises:
            SettingsError: a base URL is not a URL.
        """
        self._settings = settings
        self._sleep = sleep
        self.connections = tuple(Connection(entry, settings, ledger, sleep, clock) for entry in settings.models)
        self._clock = clock
        self._rests = {connection: _Rest() for connection in self.connections}

    async def fetch(
        self, key: CallKey, context: CallContext, messages: Messages, schema: Schema | None = None
    ) -> Answer:
        """The answer of the first endpoint that answers; if others were down before it, the call's note says why.

        Raises:
            EndpointError: every endpoint is down, or refuses the key, the model or the request.
            StoppingError: the run is being stopped.
        """
        faults: list[str] = []
        waiting = self._in_order(key.role, context)
        while waiting:
            connection = waiting.pop(0)
            max_retries = 0 if waiting and self._rests[connection].num_times else None
            try:
                answer = await connection.fetch(key, messages, schema, max_retries=max_retries)
            except Down as down:
                self._set_aside(connection)
                faults.append(str(down))
                waiting.sort(key=self._is_aside)
                continue
            self._rests[connection] = _Rest()
            notes = filter(None, [answer.call.note, *(f"used because {fault}" for fault in faults)])
            return replace(answer, call=replace(answer.call, note="; ".join(notes)))
        if len(faults) == 1:
            raise EndpointError(f"{faults[0]}{RESUME_ADVICE}")
        lines = [f"none of {len(faults)} endpoints answers{RESUME_ADVICE}", *(f"  {fault}" for fault in faults)]
        raise EndpointError("\n".join(lines))

    def stop(self) -> None:
        """Begin no new call; open calls continue."""
        for connection in self.connections:
            connection.stop()

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await asyncio.gather(*(connection.aclose() for connection in self.connections))

    def _in_order(self, call: str, context: CallContext) -> list[Connection]:
        """The connections that may answer, in the order they are asked; of one name, the least busy first."""
        entries = [connection.entry for connection in self.connections]
        digest = hashlib.sha256(context.candidate_id.encode()).digest()
        words = [context.seed, int.from_bytes(digest[:8]), context.version]
        names = order_of_names(entries, role_of_call(call), context.choices.model, words)

        def key(connection: Connection) -> tuple[bool, int, float, float]:
            load = connection.num_open / connection.entry.concurrency
            return (
                self._is_aside(connection),
                names.index(connection.entry.title),
                connection.limit.seconds_halted,
                load,
            )

        return sorted((one for one in self.connections if one.entry.title in names), key=key)

    def _is_aside(self, connection: Connection) -> bool:
        return self._rests[connection].until > self._clock()

    def _set_aside(self, connection: Connection) -> None:
        """Pause an endpoint; calls that fail together count once."""
        if not self._is_aside(connection):
            num_times = self._rests[connection].num_times
            seconds = min(_FIRST_REST_SECONDS * 2**num_times, _LONGEST_REST_SECONDS)
            self._rests[connection] = _Rest(self._clock() + seconds, num_times + 1)
