"""Flags, environment and file → settings; errors → one line and an exit status."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableSource

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import PROGRAM, Parser, Presentation, unknown
from graphs.cli.commands import list_of_commands, run_command
from graphs.cli.exit_status import report_errors
from graphs.cli.model_files import with_models_read

ENVIRONMENT_PREFIX = "FAIRNAD_"
_DELIMITER = "__"
_DEFAULT_RUNS = RunContext.model_fields["runs"].default


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


def parse(arguments: Sequence[str], begun_with: RunContext | None = None) -> RunContext:
    """The settings of a run.

    Args:
        begun_with: what the run has already been begun with, and what is not given anew.

    Raises:
        SettingsError: a flag, variable or key is unknown (with the nearest name), malformed or out of range.
        SystemExit: ``--help`` was asked for.
    """
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [FLAGS]\n       %(prog)s COMMAND --help",
        description="Searches for a better network under your limits. Every setting can also be\n"
        f"a variable ({ENVIRONMENT_PREFIX}LLM{_DELIMITER}MODEL) or a key of the TOML file given by --config.",
        epilog=list_of_commands(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_presentation(parser)
    parser.add_argument("--final-test", action="store_true", help="open a finished search's test split, and end it")
    return parse_settings(parser, arguments, begun_with, resumes=True)


def parse_presentation(arguments: Sequence[str]) -> Presentation:
    """How the search is to speak: flags that are no settings."""
    parser = Parser(add_help=False, allow_abbrev=False)
    _add_presentation(parser)
    found, _ = parser.parse_known_args(arguments)
    return Presentation(quiet=found.quiet, json=found.json, dry_run=found.dry_run)


def _add_presentation(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="print the plan and what it costs at most, then end")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--quiet", action="store_true", help="print the result alone")
    output.add_argument("--json", action="store_true", help="print events as JSON, one a line, and nothing else")


def parse_settings(
    parser: Parser, arguments: Sequence[str], begun_with: RunContext | None = None, *, resumes: bool = False
) -> RunContext:
    """The settings of a run, from a command line that may hold flags of the ``parser``'s own besides.

    Args:
        begun_with: as for :func:`parse`.
        resumes: whether the stored settings of an existing run, named by ``run``, fill in what is not given.

    Raises:
        SettingsError: as :func:`parse`.
        SystemExit: ``--help`` was asked for.
    """
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    known, _ = _config_parser().parse_known_args(arguments)
    flags = CliSettingsSource[argparse.ArgumentParser](Flags, root_parser=parser, cli_parse_args=list(arguments))()
    settings = {name: value for name, value in flags.items() if name in RunContext.model_fields}
    given = _merge(_from_file(known.config), _from_environment(), settings)
    if begun_with is None and resumes and given.get("run"):
        begun_with = _stored_settings(str(given.get("runs", _DEFAULT_RUNS)), str(given["run"]))
    if begun_with is not None:
        given = _merge(_without_other_models(begun_with, given), given)
    try:
        return RunContext.model_validate(with_models_read(_with_recorded_model(given)))
    except ValidationError as error:
        raise SettingsError(_first_line(error)) from error


def _stored_settings(runs: str, name: str) -> RunContext | None:
    """What the run of this name was begun with, ``None`` where it has not begun."""
    from store.run_folder import SETTINGS_NAME, read_context

    path = Path(runs) / name
    if Path(name).name != name or not (path / SETTINGS_NAME).is_file():
        return None
    return read_context(path).model_copy(update={"run": name, "runs": runs})


def _without_other_models(begun_with: RunContext, given: dict[str, object]) -> dict[str, object]:
    """The settings a run was begun with, without its language models where others are given."""
    before = begun_with.model_dump(mode="json", exclude_none=True)
    llm = given.get("llm")
    if isinstance(llm, dict) and {"model", "models"} & llm.keys():
        before["llm"] = {key: value for key, value in before["llm"].items() if key not in ("model", "models")}
        if "models" in llm:
            del before["llm"]["base_url"]
    return before


def _with_recorded_model(given: dict[str, object]) -> dict[str, object]:
    """The settings, with those of the language model that is replayed below what is given of it."""
    llm = given.get("llm")
    if not isinstance(llm, dict) or not llm.get("replay"):
        return given
    from graphs.runtime.replay import recorded_model

    runs = str(given.get("runs", _DEFAULT_RUNS))
    is_named = bool({"model", "models"} & llm.keys())
    return _merge({"llm": dict(recorded_model(str(llm["replay"]), runs, is_named=is_named))}, given)


def _config_parser() -> Parser:
    parser = Parser(add_help=False, allow_abbrev=False)
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
            raise SettingsError(unknown("environment variable", name, sorted(known)))
    try:
        return EnvSettingsSource(Flags)()
    except UnreadableSource as error:
        raise SettingsError(f"{ENVIRONMENT_PREFIX}…: expected JSON for a list: {error.__cause__}") from error


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
        return unknown("setting", ".".join(path), _leaf_names("."))
    if first["type"] == "value_error":
        return f"{flag}: {first['msg'].removeprefix('Value error, ')}"
    return f"{flag}: {first['msg'][0].lower()}{first['msg'][1:]}, found {first['input']!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a search from the command line, or one of the commands of :mod:`graphs.cli.commands`.

    Returns:
        0 when it finished, 1 when it ended early for a reason that is not the user's (said in one line), 2 after a
        user's mistake, 3 when a limit on money, tokens or hours was reached, 130 or 143 when it was stopped by Ctrl-C
        or SIGTERM, 141 when its output was closed; all of these can be resumed.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)

    def work() -> int:
        if given and not given[0].startswith("-"):
            return run_command(given[0], given[1:])
        context, presentation = parse(given), parse_presentation(given)
        if _config_parser().parse_known_args(given)[0].final_test:
            from graphs.search import test_evaluation as final_test

            if presentation.dry_run:
                raise SettingsError(
                    "--final-test cannot be tried out: without --dry-run it opens the test split for good"
                )
            return final_test.run(parse(given, begun_with=final_test.settings_of(context)), presentation)
        if presentation.dry_run:
            from graphs.cli.plan.plan_text import tell_plan

            return tell_plan(context, presentation)
        from graphs.cli.runner import run

        return run(context, presentation)

    return report_errors(work)
