"""Which endpoint answers a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from agents.connection import Connection, Down
from fairnad.errors import EndpointError
from fairnad.ports import Answer, CallKey, Errand, Ledger
from fairnad.settings import LanguageModelSettings
from prompts.templates import Messages

RESUME_ADVICE = "; nothing is lost; run the same command again to resume"
"""How the message of every :class:`~fairnad.errors.EndpointError` ends."""


class ModelPool:
    """The endpoints of the settings; ``connections`` are in their order."""

    def __init__(
        self, settings: LanguageModelSettings, *, ledger: Ledger, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        """Set the clients up; nothing is sent yet.

        Args:
            ledger: is asked before each request, and told what it has cost.
            sleep: how delays between tries are spent.

        Raises:
            SettingsError: a base URL is none.
        """
        self.connections = tuple(Connection(entry, settings, ledger, sleep) for entry in settings.entries)

    async def fetch(self, key: CallKey, errand: Errand, messages: Messages) -> Answer:
        """What an endpoint answers.

        Raises:
            EndpointError: the endpoint is gone for good, or refuses the key, the model or the request.
            StoppingError: the run is being stopped.
        """
        try:
            return await self.connections[0].fetch(key, messages)
        except Down as down:
            raise EndpointError(f"{down}{RESUME_ADVICE}") from down

    def max_tokens(self, name: str) -> int:
        """How long a reply of the model of that name may be; of the first one where none has the name."""
        limits = {connection.entry.title: connection.entry.max_tokens for connection in reversed(self.connections)}
        return limits.get(name, self.connections[0].entry.max_tokens)

    def stop(self) -> None:
        """Begin no new call; what is under way goes on."""
        for connection in self.connections:
            connection.stop()

    async def aclose(self) -> None:
        """Close the connections; a later call opens new ones."""
        await asyncio.gather(*(connection.aclose() for connection in self.connections))
