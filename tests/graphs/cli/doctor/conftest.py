from __future__ import annotations

from pathlib import Path

import pytest

from fairnad.settings.search_settings import (
    RunContext,
)


@pytest.fixture
def context(runs: Path) -> RunContext:
    return RunContext(run="made", runs=str(runs), archs=4, max_params=45_000.0, max_flops=1_800_000.0)
