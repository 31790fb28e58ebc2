"""``--llm.replay``: repeats a search from the recorded calls of another run, without an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairnad.errors import ReplayError, SettingsError
from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.search_settings import RunContext
from prompts.paths import given_path

_OWN = {"base_url", "replay", "price_input", "price_output"}
"""Settings of the language model that are not taken from the recorded run."""
_NAMES = {"model", "models"}


def find_recorded_calls(replay: str, runs: str) -> Path:
    """The file of recorded calls.

    Args:
        replay: the name of a run in the folder ``runs``, a run folder, or the file.

    Raises:
        ReplayError: the file does not exist.
    """
    from store.call_file import CALLS_NAME

    given = given_path(replay)
    for place in (given, given / CALLS_NAME, Path(runs) / replay / CALLS_NAME):
        if place.is_file():
            return place
    raise ReplayError(
        f"--llm.replay: expected a run in {runs}, a run folder or a {CALLS_NAME}, found none at {replay!r}"
    )


def read_recorded_model(replay: str, runs: str, *, is_named: bool = False) -> Mapping[str, Any]:
    """The settings of the language models that recorded the calls.

    Args:
        is_named: whether the user names the models; then they are not read from the recorded run.

    Raises:
        ReplayError: there are no recorded calls, or they are from several models and the run's settings are missing.
        RunFolderError: the settings of their run cannot be read.
    """
    from store.call_file import read_calls
    from store.run_folder import SETTINGS_NAME, read_context

    path = find_recorded_calls(replay, runs)
    if (path.parent / SETTINGS_NAME).is_file():
        recorded = read_context(path.parent).llm.model_dump(mode="json", exclude_none=True)
        own = _OWN | _NAMES if is_named else _OWN
        return {name: value for name, value in recorded.items() if name not in own}
    answers = {answer.call.model: answer for _, answer in read_calls(path)}
    if not answers:
        raise ReplayError(f"{path}: expected recorded calls, found none")
    if is_named:
        return {}
    if len(answers) > 1:
        raise ReplayError(
            f"{path} holds calls of {', '.join(sorted(answers))}, but the {SETTINGS_NAME} of their run, which says how "
            "models were chosen, is missing: name the run, or set --llm.models"
        )
    (answer,) = answers.values()
    asked = {"model": answer.call.model, "temperature": answer.temperature, "max_tokens": answer.max_tokens}
    return {name: value for name, value in asked.items() if value is not None}


def check_replay(context: RunContext) -> None:
    """Check that the settings name the replayed models; the command line sets them.

    Raises:
        SettingsError: no model is set.
    """
    if context.llm.replay and not context.llm.models:
        raise SettingsError("--llm.replay needs the recorded model: set --llm.model or --llm.models")


def refuse_replay(settings: LanguageModelSettings) -> None:
    """Refuse ``--llm.replay`` for commands other than a search.

    Raises:
        SettingsError: ``llm.replay`` is set.
    """
    if settings.replay:
        raise SettingsError("--llm.replay works only for a search: omit it here")
