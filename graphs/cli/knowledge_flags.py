"""Flags, environment and file → the settings of a build; flags win over the environment, that over ``--config``."""

from __future__ import annotations

import argparse
import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from fairnad.errors import SettingsError
from fairnad.settings.knowledge_settings import KnowledgeContext
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser, unknown
from graphs.cli.model_files import with_models_read
from graphs.runtime.replay import refuse_replay

_PREFIX = "FAIRNAD_"


def add_flags(parser: Parser, names: Sequence[str]) -> None:
    """Add a flag for each setting whose first part is among ``names``, and ``--config``."""
    for path, field in _leaves(KnowledgeContext):
        if path[0] not in names:
            continue
        flag = "--" + ".".join(path).replace("_", "-")
        told = f"{field.description} (default: {field.default if field.default != '' else 'empty'})"
        if field.annotation is bool:
            parser.add_argument(flag, dest=_dest(path), nargs="?", const="true", metavar="BOOL", help=told)
        else:
            parser.add_argument(flag, dest=_dest(path), metavar=_metavar(field), help=told.replace("%", "%%"))
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")


def read_context(options: argparse.Namespace, **fixed: object) -> KnowledgeContext:
    """The settings that were given.

    Args:
        fixed: settings that come from arguments of the command's own.

    Raises:
        SettingsError: a setting is unknown, malformed or out of range.
    """
    settings = _from_file(options.config) if options.config else {}
    given = vars(options)
    for path, _ in _leaves(KnowledgeContext):
        value = given.get(_dest(path))
        value = os.environ.get(_variable(path)) if value is None else value
        if value is not None:
            _put(settings, path, value)
    try:
        context = KnowledgeContext.model_validate(with_models_read({**settings, **fixed}))
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from error
    refuse_replay(context.llm)
    return context


def check_environment() -> None:
    """Refuse variables that are no settings, of a build or of a search.

    Raises:
        SettingsError: there is one; the message names the nearest that there is.
    """
    known = {_variable(path) for model in (KnowledgeContext, RunContext) for path, _ in _leaves(model)}
    for name in os.environ:
        if name.upper().startswith(_PREFIX) and name.upper() not in known:
            raise SettingsError(unknown("environment variable", name, sorted(known)))


def _leaves(model: type[BaseModel], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, (*before, name))
        else:
            yield (*before, name), field


def _dest(path: Sequence[str]) -> str:
    return "setting " + ".".join(path)


def _variable(path: Sequence[str]) -> str:
    return (_PREFIX + "__".join(path)).upper()


def _metavar(field: FieldInfo) -> str:
    return "N" if field.annotation in (int, float) else "TEXT"


def _from_file(name: str) -> dict[str, Any]:
    path = Path(name)
    if not path.is_file():
        raise SettingsError(f"--config: there is no file {name}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"--config: {name} is not TOML: {error}") from error


def _put(settings: dict[str, Any], path: Sequence[str], value: object) -> None:
    *sections, name = path
    for section in sections:
        inner = settings.setdefault(section, {})
        if not isinstance(inner, Mapping):
            raise SettingsError(f"--config: expected a table [{section}], found {inner!r}")
        settings[section] = settings = dict(inner)
    settings[name] = value


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    flag = "--" + ".".join(path).replace("_", "-")
    if first["type"] == "extra_forbidden":
        known = [".".join(leaf) for leaf, _ in _leaves(KnowledgeContext)]
        near = difflib.get_close_matches(".".join(path), known, n=1, cutoff=0.5)
        return f"unknown setting {'.'.join(path)}" + (f"; did you mean {near[0]}?" if near else "")
    if first["type"] == "value_error":
        return f"{flag}: {first['msg'].removeprefix('Value error, ')}"
    return f"{flag}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"
