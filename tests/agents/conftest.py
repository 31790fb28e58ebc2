from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from agents.llm.client import LanguageModel
from fairnad.ports import CallContext, Ledger
from fairnad.records.spending import UNLIMITED
from fairnad.settings.model_entries import LanguageModelSettings
from prompts.loader import Pack, load_pack
from store.history_store import SqliteHistory
from tests.openai_server import Script, ScriptedServer

Connect = Callable[..., LanguageModel]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def context() -> CallContext:
    return CallContext("g01-fair-r1-s00-d0", version=0, seed=0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteHistory]:
    history = SqliteHistory(tmp_path / "history.sqlite")
    yield history
    history.close()


@pytest.fixture
def delays() -> list[float]:
    """The delays the model of :func:`connect` waited out, in seconds; nothing really waits."""
    return []


@pytest_asyncio.fixture
async def connect(log: SqliteHistory, delays: list[float]) -> AsyncIterator[Connect]:
    """Makes language models that talk to a server (or to a base URL) and store in ``log``.

    Where entries are given as ``models``, there is no server but theirs. The clock stands still but for delays.
    """
    models: list[LanguageModel] = []

    async def wait(seconds: float) -> None:
        delays.append(seconds)

    def make(server: ScriptedServer | str | None, ledger: Ledger = UNLIMITED, **settings: object) -> LanguageModel:
        chosen: dict[str, object] = {"timeout_seconds": 20, "max_retries": 2, **settings}
        if server is not None:
            url = server if isinstance(server, str) else server.url
            chosen = {"model": "scripted", "base_url": url, **chosen}
        checked = LanguageModelSettings.model_validate(chosen)
        models.append(LanguageModel(checked, log, ledger=ledger, sleep=wait, clock=lambda: sum(delays)))
        return models[-1]

    yield make
    for model in models:
        await model.aclose()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], ScriptedServer]]:
    """Starts scripted servers, which end with the test."""
    servers: list[ScriptedServer] = []

    def start(script: Script) -> ScriptedServer:
        servers.append(ScriptedServer(script).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def vision() -> Pack:
    return load_pack("vision")
