from __future__ import annotations

import contextlib
import os
import select
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from fairnad.domain.contract import Contract
from fairnad.records.candidate import Failure, Step
from fairnad.settings.search_settings import LabSettings
from tests.tools.quadrants import RECIPE, SETTINGS, make_split, make_task
from tests.tools.unjailed import UNJAILED
from tests.warm_servers import warm_servers
from tools.checks import Checker
from tools.datasets.tasks import Split
from tools.lab import TorchLab
from tools.sandbox.job import Job, JobKind, JobResult, Limits
from tools.sandbox.supervisor import Sandbox

SECRET = "LAB_TEST_SECRET"
LIMITS = Limits(wall_seconds=20, memory_bytes=10**9, output_bytes=10**5)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One warm sandbox without a jail, for sources that do what a test needs; there is a secret around it."""
    os.environ[SECRET] = "open sesame"
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"), UNJAILED)
    await sandbox.start()
    yield sandbox
    await sandbox.close()
    del os.environ[SECRET]


@pytest.fixture(scope="session")
def checker(sandbox: Sandbox) -> Checker:
    """Checks for four classes and images of eight pixels a side."""
    return Checker(sandbox, LabSettings(check_seconds=20, memory=1e9), Contract.for_images(8, 4), num_slots=2)


@pytest.fixture(scope="session")
def make_job() -> Callable[..., Job]:
    """A check job of a source, with limits of the test's own choice."""

    def make(source: str, *, deliveries: Mapping[str, int] | None = None, **limits: float) -> Job:
        request = {"contract": Contract.for_images(8, 4).to_json(), "seed": 0, "integrity": "reject"}
        return Job(JobKind.CHECK, Step.EXECUTE, source, request, replace(LIMITS, **limits), deliveries=deliveries or {})

    return make


@pytest.fixture(scope="session")
def run_check(sandbox: Sandbox, make_job: Callable[..., Job]) -> Callable[..., Awaitable[JobResult]]:
    """Runs a source as a check job."""

    async def run(source: str, **limits: float) -> JobResult:
        return await sandbox.run(make_job(source, **limits))

    return run


@pytest.fixture(scope="session")
def failure_of(run_check: Callable[..., Awaitable[JobResult]]) -> Callable[..., Awaitable[Failure]]:
    """Runs a source as a check job that must fail."""

    async def run(source: str, **limits: float) -> Failure:
        result = await run_check(source, **limits)
        assert result.failure is not None, f"it ran: {result.report}"
        return result.failure

    return run


class Pipe:
    """A named pipe that candidates write process ids to, one a line; reading waits for them without sleeping."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        # Opened for both, so that opening does not wait and reading never sees an end.
        self._file = os.fdopen(os.open(path, os.O_RDWR), "rb", buffering=0)
        self._rest = b""

    def read_ids(self, num_ids: int) -> list[int]:
        while self._rest.count(b"\n") < num_ids:
            assert select.select([self._file], [], [], 120)[0], "no process reported"
            self._rest += self._file.read(4096)
        *lines, self._rest = self._rest.split(b"\n", num_ids)
        return [int(line) for line in lines]

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()


@pytest.fixture(scope="session")
def ends() -> Callable[[int], bool]:
    """Whether a process is gone, or goes within ten seconds."""

    def ends(pid: int) -> bool:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        ready, _, _ = select.select([descriptor], [], [], 10)
        os.close(descriptor)
        return bool(ready)

    return ends


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder everybody may enter, unlike those pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@pytest.fixture
def without_privileges() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Root may read everything; within the context this process is nobody."""

    @contextlib.contextmanager
    def become_nobody() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return become_nobody


@pytest.fixture(scope="module")
def warm_fork_servers() -> Iterator[None]:
    """Labs of a module share fork servers."""
    with warm_servers():
        yield


@pytest.fixture(scope="session")
def held_out_loads() -> list[str]:
    """One entry for every time the held-out images were loaded."""
    return []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(tmp_path_factory, held_out_loads):
    """One lab without a jail, whose sources may misbehave."""

    def load() -> Split:
        held_out_loads.append("loaded")
        return make_split(40, 2)

    lab = TorchLab(make_task(load), RECIPE, SETTINGS, tmp_path_factory.mktemp("lab"))
    await lab.start()
    yield lab
    await lab.close()


@pytest_asyncio.fixture(loop_scope="session")
async def make_lab(tmp_path):
    """Makes and starts labs with some settings changed; they are closed at the end."""
    labs = []

    async def make(**changes: object) -> TorchLab:
        settings = SETTINGS.model_copy(update=changes)
        labs.append(TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, settings, tmp_path / str(len(labs))))
        await labs[-1].start()
        return labs[-1]

    yield make
    for lab in labs:
        await lab.close()
