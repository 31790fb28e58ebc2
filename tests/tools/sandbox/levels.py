"""Settings of a lab for tests of its isolation."""

from __future__ import annotations

from fairnad.settings import LabSettings

UNJAILED = LabSettings(isolation="E", source_policy=False)
"""For tests of what holds without a jail: the wall clock, the limits, the burial, the parent's disbelief."""
