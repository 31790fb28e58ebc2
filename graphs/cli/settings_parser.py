"""One parser for the settings of all commands: flags, environment, TOML file, and the stored settings of a run.

Flags win over the environment, the environment over ``--config``, and all three over stored settings.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableSource

from fairnad.errors import SettingsError
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.model_entries import LanguageModelSettings, ModelEntry
from fairnad.settings.old_names import OLD_NAMES
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser, describe_unknown, group_settings
from graphs.runtime.replay import refuse_replay
from prompts.paths import given_path

Context = TypeVar("Context", RunContext, KnowledgeContext)

PREFIX = "FAIRNAD_"
_DELIMITER = "__"
_OLD = "old name "


class _Flags(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=_DELIMITER,
        nested_model_default_partial_update=True,
        cli_kebab_case=True,
        cli_avoid_json=True,
    )


def add_settings(
    parser: Parser,
    model: type[BaseModel],
    common: Mapping[str, Sequence[str]] | None = None,
    sections: Collection[str] = (),
) -> None:
    """Add ``--config`` and a flag for each setting.

    Args:
        common: the settings that ``--help`` shows, by the title of their group; all by default.
        sections: the settings and sections to add; all by default.
    """
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    num_own = len(parser._actions)
    parser.source = CliSettingsSource(make_flags(model, tuple(sections)), root_parser=parser)
    for name in OLD_NAMES:
        flag = "--" + name.replace("_", "-")
        if flag not in parser._option_string_actions:
            parser.add_argument(flag, dest=_OLD + name)
    fields = {name: field for name, field in leaves(model) if not sections or name.partition(".")[0] in sections}
    groups = group_settings(model, fields)
    shown = {title: {name: fields[name] for name in names} for title, names in common.items()} if common else groups
    parser.describe_settings(shown, groups, parser._actions[num_own:])


def read_settings(
    options: argparse.Namespace,
    parser: Parser,
    model: type[Context],
    *,
    begun_with: Context | None = None,
    resumes: bool = False,
    **fixed: object,
) -> Context:
    """The settings from flags, environment, file and an earlier start.

    Args:
        options: the parsed command line.
        begun_with: settings of an earlier start, which apply unless others are given.
        resumes: whether the stored settings of the run that ``run`` names apply in the same way.
        fixed: settings that the command sets itself.

    Raises:
        SettingsError: a name is unknown (with the nearest name), or a value is malformed or out of range.
    """
    given = _merge(_read_file(options.config), _read_environment(model), _read_flags(options, parser, model), fixed)
    if begun_with is None and resumes and given.get("run"):
        begun_with = _read_stored(str(given.get("runs", RunContext.model_fields["runs"].default)), str(given["run"]))
    if begun_with is not None:
        given = _add_earlier(begun_with, given)
    if model is RunContext:
        return validate(model, _add_recorded_model(given))
    context = validate(model, given)
    refuse_replay(context.llm)
    return context


def validate(model: type[Context], given: Mapping[str, Any]) -> Context:
    """The validated settings; files that they name are read.

    Raises:
        SettingsError: a name is unknown, or a value is malformed or out of range.
    """
    given = _read_prompts(_read_models(given))
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise SettingsError(describe_error(error, model, given)) from error


def leaves(model: type[BaseModel], section: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every setting with its section; the fields of a model entry are listed under ``llm``."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{name}.")
        else:
            yield section + name, field
    if model is LanguageModelSettings:
        yield from leaves(ModelEntry, section)


@functools.cache
def make_flags(model: type[BaseModel], names: tuple[str, ...] = ()) -> type[BaseSettings]:
    """The settings as flags and variables: all optional, with the fields of a single language model under ``llm``."""
    llm_fields = {**LanguageModelSettings.model_fields, **ModelEntry.model_fields}
    llm = create_model("LanguageModelFlags", **{name: _optional(field) for name, field in llm_fields.items()})
    fields = {
        name: (llm, llm()) if name == "llm" else (field.annotation, field.get_default(call_default_factory=True))
        for name, field in model.model_fields.items()
        if not names or name in names
    }
    return create_model("Flags", __base__=_Flags, **fields)  # type: ignore[call-overload,no-any-return]


def _optional(field: FieldInfo) -> Any:
    default = "" if field.is_required() else field.get_default(call_default_factory=True)
    return (str if field.annotation == tuple[ModelEntry, ...] else field.annotation), default


def _read_flags(options: argparse.Namespace, parser: Parser, model: type[BaseModel]) -> dict[str, Any]:
    assert parser.source is not None, "add_settings comes first"
    values = parser.source(parsed_args=options)()
    given = {name: value for name, value in values.items() if name in model.model_fields}
    return _merge(given, _nest({name: getattr(options, _OLD + name, None) for name in OLD_NAMES}))


def _read_file(name: str | None) -> dict[str, Any]:
    if not name:
        return {}
    if not Path(name).is_file():
        raise SettingsError(f"--config: expected a TOML file, found no file {name}")
    try:
        return TomlConfigSettingsSource(_Flags, Path(name))()
    except ValueError as error:
        raise SettingsError(f"--config: {name} is not TOML: {error}") from error


def _read_environment(model: type[BaseModel]) -> dict[str, Any]:
    """The settings of the environment.

    Raises:
        SettingsError: a variable names no setting of a search or a build, or does not hold the expected JSON.
    """
    old = {_variable(name): name for name in OLD_NAMES}
    known = {_variable(name) for context in (RunContext, KnowledgeContext) for name, _ in leaves(context)}
    given = {name.upper(): value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    for name in given:
        if name not in known and name not in old:
            raise SettingsError(describe_unknown("environment variable", name, sorted(known)))
    try:
        values = EnvSettingsSource(make_flags(model))()
    except UnreadableSource as error:
        raise SettingsError(f"{PREFIX}…: expected JSON for a list or a table: {error.__cause__}") from error
    return _merge(values, _nest({old[name]: value for name, value in given.items() if name in old}))


def _variable(name: str) -> str:
    return (PREFIX + name.replace(".", _DELIMITER)).upper()


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, _, leaf = name.rpartition(".")
        if value is not None:
            (nested.setdefault(section, {}) if section else nested)[leaf] = value
    return nested


def _merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            before = merged.get(name)
            merged[name] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _read_stored(runs: str, name: str) -> Any:
    """The stored settings of a run, ``None`` for a new run."""
    from store.run_folder import SETTINGS_NAME, read_context

    path = Path(runs) / name
    if Path(name).name != name or not (path / SETTINGS_NAME).is_file():
        return None
    return read_context(path).model_copy(update={"run": name, "runs": runs})


def _add_earlier(begun_with: BaseModel, given: dict[str, Any]) -> dict[str, Any]:
    """Merge the given settings over the earlier ones; given language models replace the earlier models."""
    before = begun_with.model_dump(mode="json", exclude_none=True)
    llm, earlier = given.get("llm", {}), before["llm"]
    shared = {name: value for name, value in llm.items() if name in ModelEntry.model_fields}
    if "models" in llm:
        before["llm"] = {name: value for name, value in earlier.items() if name not in ModelEntry.model_fields}
    elif "model" in llm:
        earlier.pop("models", None)
    elif shared and "models" in earlier:
        earlier["models"] = [{**entry, **shared} for entry in earlier["models"]]
        given = {**given, "llm": {name: value for name, value in llm.items() if name not in shared}}
    return _merge(before, given)


def _add_recorded_model(given: dict[str, Any]) -> dict[str, Any]:
    """Add the recorded language model if ``llm.replay`` is set and no model is given."""
    llm = given.get("llm")
    if not isinstance(llm, dict) or not llm.get("replay"):
        return given
    from graphs.runtime.replay import read_recorded_model

    runs = str(given.get("runs", RunContext.model_fields["runs"].default))
    is_named = bool({"model", "models"} & llm.keys())
    return _merge({"llm": dict(read_recorded_model(str(llm["replay"]), runs, is_named=is_named))}, given)


def _read_models(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with ``llm.models`` as a list of entries, from data, JSON text, or a YAML or JSON file."""
    section = given.get("llm")
    if not isinstance(section, dict) or not section.get("models"):
        return dict(given)
    parts = section["models"] if isinstance(section["models"], list | tuple) else [section["models"]]
    entries = [entry for part in parts for entry in (_read_entries(part) if isinstance(part, str) else [part])]
    return {**given, "llm": {**section, "models": entries}}


def _read_entries(text: str) -> list[Any]:
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
        line = " ".join(str(error).split())[:200]
        raise SettingsError(f"{place}: expected a list of entries in JSON or YAML: {line}") from error
    entries = content if isinstance(content, list) else [content]
    if not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError(f"{place}: expected a list of entries, each with a model, found {text.strip()[:60]!r}")
    return entries


def _read_prompts(given: dict[str, Any]) -> dict[str, Any]:
    """Replace the files named in ``prompts`` by their texts, so that a run keeps its prompts."""
    prompts = given.get("prompts")
    if not isinstance(prompts, dict):
        return given
    return {**given, "prompts": {name: _read_prompt(name, text) for name, text in prompts.items()}}


def _read_prompt(name: str, text: object) -> object:
    if not isinstance(text, str) or "\n" in text or not text:
        return text
    path = given_path(text)
    if not path.is_file():
        raise SettingsError(f"--prompts: {name}: expected a file, found no file {text}")
    return path.read_text(encoding="utf-8")


def describe_error(
    error: ValidationError, model: type[BaseModel], given: Mapping[str, Any], *, as_flag: bool = True
) -> str:
    """The first error in one line, with the setting as a flag or as a key."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    llm = given.get("llm")
    if not isinstance(llm, Mapping) or not llm.get("models"):
        path = path.replace("llm.models.0.", "llm.")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return describe_unknown("setting", path, [name for name, _ in leaves(model)])
    if not path:
        return message
    flag = "--" + path.replace("_", "-") if as_flag else path
    if first["type"] == "value_error":
        return f"{flag}: {message}"
    return f"{flag}: {message[0].lower()}{message[1:]}, found {first['input']!r}"
