"""``--llm.replay``: a search again from the calls that another run recorded, without an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairnad.errors import ReplayError, SettingsError
from fairnad.settings.search_settings import LanguageModelSettings, RunContext
from prompts.paths import given_path

_OWN = {"base_url", "replay", "price_input", "price_output"}
"""Settings of the language model that are not taken from the recorded run."""
_NAMES = {"model", "models"}


def recorded_calls(replay: str, runs: str) -> Path:
    """The file of recorded calls that is meant.

    Args:
        replay: the name of a run in the folder ``runs``, a run folder, or the file.

    Raises:
        ReplayError: there is none.
    """
    from store.call_file import CALLS_NAME

    given = given_path(replay)
    for place in (given, given / CALLS_NAME, Path(runs) / replay / CALLS_NAME):
        if place.is_file():
            return place
    raise ReplayError(
        f"--llm.replay: expected a run in {runs}, a run folder or a {CALLS_NAME}, found none at {replay!r}"
    )


def recorded_model(replay: str, runs: str, *, is_named: bool = False) -> Mapping[str, Any]:
    """The settings of the language model as they were when the calls were recorded.

    Args:
        is_named: the models are given anew, and are not taken from there.

    Raises:
        ReplayError: there are no recorded calls, or calls of several models without the settings of their run.
        RunFolderError: the settings of their run cannot be read.
    """
    from store.call_file import read_calls
    from store.run_folder import SETTINGS_NAME, read_context

    path = recorded_calls(replay, runs)
    if (path.parent / SETTINGS_NAME).is_file():
        recorded = read_context(path.parent).llm.model_dump(mode="json", exclude_none=True)
        own = _OWN | _NAMES if is_named else _OWN
        return {name: value for name, value in recorded.items() if name not in own}
    answers = {answer.call.model: answer for _, answer in read_calls(path)}
    if not answers:
        raise ReplayError(f"{path} holds no call: there is nothing to replay")
    if is_named:
        return {}
    if len(answers) > 1:
        raise ReplayError(
            f"{path} holds calls of {', '.join(sorted(answers))}, and there is no {SETTINGS_NAME} beside it that tells "
            "how one was chosen: name its run, or give --llm.models"
        )
    (answer,) = answers.values()
    asked = {"model": answer.call.model, "temperature": answer.temperature, "max_tokens": answer.max_tokens}
    return {name: value for name, value in asked.items() if value is not None}


def check_replay(context: RunContext) -> None:
    """Nothing, where the settings name the models that are replayed, as the command line sees to.

    Raises:
        SettingsError: they do not.
    """
    if context.llm.replay and not context.llm.entries:
        raise SettingsError("--llm.replay needs the recorded model here: set --llm.model, or --llm.models")


def refuse_replay(settings: LanguageModelSettings) -> None:
    """Nothing, where answers come from an endpoint, as they must for all that is no search.

    Raises:
        SettingsError: they are to come from a recorded run.
    """
    if settings.replay:
        raise SettingsError("--llm.replay replays a search: leave it out here")
