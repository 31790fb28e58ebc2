"""What holds for all tests."""

from __future__ import annotations

import os

import pytest

from tests.published_data import VARIABLE


@pytest.fixture(scope="session", autouse=True)
def no_unknown_variable() -> None:
    """Every FAIRNAD_ variable is a setting and an unknown one is refused: the searches tests start must not see ours.

    Removed by a fixture and not at import, which would keep it from the processes that share the tests out.
    """
    os.environ.pop(VARIABLE, None)
