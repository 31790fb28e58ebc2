"""The base class of all groups of settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

CHANGEABLE: JsonDict = {"changeable": True}
"""Marks a setting that may change when a run is resumed, because it does not affect results."""


class Section(BaseModel):
    """A group of settings: frozen, without unknown names, without infinite or missing numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
