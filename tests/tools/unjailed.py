"""Settings of a lab for tests of what holds without a jail, and of what jobs say of themselves."""

from __future__ import annotations

from fairnad.settings.search_settings import LabSettings

UNJAILED = LabSettings(isolation="E", source_policy=False)
