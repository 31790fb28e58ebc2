from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from fairnad.candidate import Failure
from tests.tools.sandbox.levels import UNJAILED
from tools.sandbox.job import Job, JobResult
from tools.sandbox.supervisor import Sandbox

SECRET = "LAB_TEST_SECRET"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def unjailed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One warm sandbox at level E; it is started with a secret in this process's environment."""
    os.environ[SECRET] = "open sesame"
    sandbox = Sandbox(tmp_path_factory.mktemp("unjailed"), UNJAILED)
    await sandbox.start()
    yield sandbox
    await sandbox.close()
    del os.environ[SECRET]


@pytest.fixture(scope="session")
def run_unjailed(unjailed: Sandbox, make_job: Callable[..., Job]) -> Callable[..., Awaitable[JobResult]]:
    """Runs a source as a check job, without policy and jail."""

    async def run(source: str, **limits: float) -> JobResult:
        return await unjailed.run(make_job(source, **limits))

    return run


@pytest.fixture(scope="session")
def failure_unjailed(run_unjailed: Callable[..., Awaitable[JobResult]]) -> Callable[..., Awaitable[Failure]]:
    """Runs a source that must fail, without policy and jail."""

    async def run(source: str, **limits: float) -> Failure:
        result = await run_unjailed(source, **limits)
        assert result.failure is not None, f"it ran: {result.report}"
        return result.failure

    return run
