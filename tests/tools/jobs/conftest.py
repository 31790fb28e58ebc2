"""What the tests of the jobs share."""

from __future__ import annotations

import pytest

from fairnad.domain.contract import Contract
from fairnad.settings.search_settings import LabSettings
from tools.checks import Checker
from tools.sandbox.supervisor import Sandbox


@pytest.fixture(scope="session")
def default_checker(sandbox: Sandbox) -> Checker:
    """Checks with default settings, for ten classes and images of 16 pixels a side."""
    return Checker(sandbox, LabSettings(), Contract.for_images(16, 10), num_slots=2)
