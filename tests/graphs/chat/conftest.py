"""A chat over the made run of :mod:`tests.graphs.conftest`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphs.cli.chat_command import main


@pytest.fixture
def ask(runs: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Asks one question and gives the object that is printed."""

    def run(question: str, *flags: str) -> dict[str, Any]:
        assert main([question, "--json", "--runs", str(runs), *flags]) == 0
        output = capsys.readouterr()
        assert output.err == ""
        told: dict[str, Any] = json.loads(output.out)
        return told

    return run
