"""Several models as they can be given: as data, as JSON text, or as a YAML or JSON file."""

from __future__ import annotations

from typing import Any

from fairnad.errors import SettingsError
from prompts.paths import given_path


def with_models_read(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with ``llm.models`` as a list of entries, whatever form it was given in.

    Raises:
        SettingsError: there is no such file, or neither it nor the text holds a list of entries.
    """
    section = settings.get("llm")
    if not isinstance(section, dict) or "models" not in section:
        return settings
    given = section["models"]
    parts = given if isinstance(given, list | tuple) else [given]
    entries = [entry for part in parts for entry in (_read(part) if isinstance(part, str) else [part])]
    return {**settings, "llm": {**section, "models": entries}}


def _read(text: str) -> list[Any]:
    import yaml

    place = "--llm.models"
    if not text.lstrip().startswith(("[", "{")):
        path = given_path(text)
        if not path.is_file():
            raise SettingsError(f"--llm.models: expected JSON or a file of entries, found no file {text}")
        place, text = f"--llm.models: {path}", path.read_text(encoding="utf-8")
    try:
        content = yaml.safe_load(text)  # JSON is YAML, too
    except yaml.YAMLError as error:
        raise SettingsError(f"{place}: expected a list of entries in JSON or YAML: {_first_line(error)}") from error
    entries = content if isinstance(content, list) else [content]
    if not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f"{place}: expected a list of entries, each with a model, found {text.strip()[:60]!r}")
    return entries


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
