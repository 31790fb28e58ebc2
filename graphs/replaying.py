"""``--llm.replay``: a search again from the calls that another run recorded, without an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairnad.errors import ReplayError, SettingsError
from fairnad.settings import RunContext
from store.call_file import CALLS_NAME, read_calls
from store.run_folder import SETTINGS_NAME, read_context

_OWN = {"base_url", "replay", "price_input", "price_output"}
"""Settings of the language model that are not taken from the recorded run."""


def recorded_calls(replay: str, runs: str) -> Path:
    """The file of recorded calls that is meant.

    Args:
        replay: the name of a run in the folder ``runs``, a run folder, or the file.

    Raises:
        ReplayError: there is none.
    """
    given = Path(replay).expanduser()
    for place in (given, given / CALLS_NAME, Path(runs) / replay / CALLS_NAME):
        if place.is_file():
            return place
    raise ReplayError(
        f"--llm.replay: expected a run in {runs}, a run folder or a {CALLS_NAME}, found none at {replay!r}"
    )


def recorded_model(replay: str, runs: str) -> Mapping[str, Any]:
    """The settings of the language model as they were when the calls were recorded.

    Raises:
        ReplayError: there are no recorded calls.
        RunFolderError: the settings of their run cannot be read.
    """
    path = recorded_calls(replay, runs)
    if (path.parent / SETTINGS_NAME).is_file():
        recorded = read_context(path.parent).llm.model_dump(mode="json", exclude_none=True)
        return {name: value for name, value in recorded.items() if name not in _OWN}
    for _, answer in read_calls(path):
        asked = {"model": answer.call.model, "temperature": answer.temperature, "max_tokens": answer.max_tokens}
        return {name: value for name, value in asked.items() if value is not None}
    raise ReplayError(f"{path} holds no call: there is nothing to replay")


def check_replay(context: RunContext) -> None:
    """Nothing, where the settings name the model that is replayed, as the command line sees to.

    Raises:
        SettingsError: they do not.
    """
    if context.llm.replay and not context.llm.model:
        raise SettingsError("--llm.replay needs the name of the recorded model here: set --llm.model")
