"""Flags, environment and file → settings; errors → one line and an exit status."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fairnad.errors import FairnadError, SettingsError, UserError
from fairnad.settings import RunContext

ENVIRONMENT_PREFIX = "FAIRNAD_"
_DELIMITER = "__"


class Flags(BaseSettings, RunContext):
    """The settings as they can be given: flags win over the environment, the environment over ``--config``."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=_DELIMITER,
        nested_model_default_partial_update=True,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what :func:`parse` hands in: no file is read and no secret looked for behind its back."""
        return ()


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest flag, instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            raise SettingsError(_unknown("flag", unknown.split()[0].split("=")[0], list(self._option_string_actions)))
        raise SettingsError(message)


def _unknown(what: str, found: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(found, known, n=1, cutoff=0.5)
    return f"unknown {what} {found}" + (f"; did you mean {near[0]}?" if near else "; --help lists what there is")


def parse(arguments: Sequence[str], begun_with: RunContext | None = None) -> RunContext:
    """The settings of a run.

    Args:
        begun_with: what the run has already been begun with, and what is not given anew.

    Raises:
        SettingsError: a flag, variable or key is unknown (with the nearest name), malformed or out of range.
        SystemExit: ``--help`` was asked for.
    """
    parser = _Parser(
        prog="python -m graphs.search",
        usage="%(prog)s [FLAGS]",
        description="Searches for a better network under your limits. Every flag can also be a variable "
        f"({ENVIRONMENT_PREFIX}LLM{_DELIMITER}MODEL) or a key of the TOML file given by --config.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument("--final-test", action="store_true", help="open a finished search's test split, and end it")
    known, _ = _config_parser().parse_known_args(arguments)
    flags = CliSettingsSource[argparse.ArgumentParser](Flags, root_parser=parser, cli_parse_args=list(arguments))
    before = begun_with.model_dump(mode="json", exclude_none=True) if begun_with is not None else {}
    given = _merge(before, _from_file(known.config), _from_environment(), flags())
    given.pop("config", None)
    given.pop("final_test", None)
    try:
        return RunContext.model_validate(given)
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from error


def _config_parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", default="")
    parser.add_argument("--final-test", action="store_true")
    return parser


def _from_file(name: str) -> dict[str, object]:
    if not name:
        return {}
    if not Path(name).is_file():
        raise SettingsError(f"--config: there is no file {name}")
    try:
        return TomlConfigSettingsSource(Flags, Path(name))()
    except ValueError as error:
        raise SettingsError(f"--config: {name} is not TOML: {error}") from error


def _from_environment() -> dict[str, object]:
    known = {f"{ENVIRONMENT_PREFIX}{name}".upper() for name in _leaf_names(_DELIMITER)}
    for name in os.environ:
        if name.upper().startswith(ENVIRONMENT_PREFIX) and name.upper() not in known:
            raise SettingsError(_unknown("environment variable", name, sorted(known)))
    return EnvSettingsSource(Flags)()


def _leaf_names(delimiter: str) -> list[str]:
    names = []
    for name, field in RunContext.model_fields.items():
        section = getattr(field.annotation, "model_fields", None)
        names += [name] if section is None else [f"{name}{delimiter}{leaf}" for leaf in section]
    return names


def _merge(*layers: dict[str, object]) -> dict[str, object]:
    merged: dict[str, object] = {}
    for layer in layers:
        for name, value in layer.items():
            before = merged.get(name)
            merged[name] = _merge(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _first_line(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    flag = "--" + ".".join(path).replace("_", "-")
    if first["type"] == "extra_forbidden":
        return _unknown("setting", ".".join(path), _leaf_names("."))
    if first["type"] == "value_error":
        return f"{flag}: {first['msg'].removeprefix('Value error, ')}"
    return f"{flag}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a search from the command line.

    Returns:
        0 when it finished, 1 when it ended early for a reason that is not the user's (said in one line), 2 after a
        user's mistake, 130 or 143 when it was stopped by Ctrl-C or SIGTERM and can be resumed.
    """

    def work() -> int:
        given = sys.argv[1:] if arguments is None else list(arguments)
        context = parse(given)
        if _config_parser().parse_known_args(given)[0].final_test:
            from graphs import final_test

            return final_test.run(parse(given, begun_with=final_test.settings_of(context)))
        from graphs.runner import run

        return run(context)

    return report_errors(work)


def report_errors(work: Callable[[], int]) -> int:
    """The exit status of ``work``, with expected errors told in one line on stderr."""
    try:
        return work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except FairnadError as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 1
