"""The same surroundings for every test, whoever's terminal or CI service runs them."""

from __future__ import annotations

import os

import pytest

FOREIGN = ("CI", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "OPENAI_API_KEY")


@pytest.fixture(autouse=True, scope="session")
def plain_surroundings():
    """An ordinary terminal, no key, and no setting from the environment; processes that tests start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        for name in os.environ.copy():
            if name in FOREIGN or name.startswith("FAIRNAD_"):
                patch.delenv(name)
        yield
