"""The argument parser of all commands: mistakes in one line, a short ``--help`` and a full ``--help-all``."""

from __future__ import annotations

import argparse
import difflib
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fairnad import __version__
from fairnad.errors import SettingsError

PROGRAM = "python -m graphs.search"
MAX_WIDTH = 100
_INDENT = 34
_METAVARS = {"agents.players": "ROLE=PLAYER"}

Groups = Mapping[str, Mapping[str, FieldInfo]]
"""Settings by name, by the title of their group."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a command shows its results; no setting of the run.

    ``quiet``: print only the result. ``json``: print events for programs, see :mod:`graphs.cli.output.events`.
    ``dry_run``: print the plan and do nothing.
    """

    quiet: bool = False
    json: bool = False
    dry_run: bool = False


INTERACTIVE = Presentation()
"""Progress and result as text."""


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line with the nearest flag, and knows ``--version`` and ``--help-all``."""

    def __init__(self, *, add_help: bool = True, **named: Any) -> None:
        named.setdefault("formatter_class", _Formatter)
        super().__init__(add_help=add_help, allow_abbrev=False, **named)
        self.source: Any = None
        self._common: Groups = {}
        self._settings: Groups = {}
        if add_help:
            self.add_argument("--version", action="version", version=f"FairNAD {__version__}")

    def describe_settings(self, common: Groups, settings: Groups, actions: Sequence[argparse.Action]) -> None:
        """Show settings by group in place of the arguments that pydantic-settings has added."""
        self._common, self._settings = common, settings
        for action in actions:
            action.help = argparse.SUPPRESS
        self._action_groups = self._action_groups[:2]  # without the groups that pydantic-settings adds
        if self.add_help:
            self.add_argument("--help-all", action=_HelpAll, help="show all settings and exit")

    def format_help(self) -> str:
        """The usage, the command's own arguments, and the common settings."""
        return super().format_help() + _format_groups(self._common)

    def format_full_help(self) -> str:
        """The usage, the command's own arguments, and all settings."""
        return super().format_help() + _format_groups(self._settings)

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message as an error.

        Raises:
            SettingsError: always.
        """
        odd = message.removeprefix("unrecognized arguments: ")
        if odd != message:
            known = [flag for flag, action in self._option_string_actions.items() if " " not in action.dest]
            raise SettingsError(describe_unknown("flag", odd.split()[0].split("=")[0], known))
        raise SettingsError(message)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=_INDENT, width=_width())


class _HelpAll(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **named: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **named)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        assert isinstance(parser, Parser), "only this parser has the flag"
        print(parser.format_full_help(), end="")
        parser.exit()


def describe_unknown(what: str, found: str, known: Iterable[str]) -> str:
    """The message that a name is unknown, with the nearest known name."""
    near = difflib.get_close_matches(found, list(known), n=1, cutoff=0.6)
    return f"unknown {what} {found}; " + (f"did you mean {near[0]}?" if near else "--help-all lists all settings")


def group_settings(model: type[BaseModel], leaves: Mapping[str, FieldInfo]) -> dict[str, dict[str, FieldInfo]]:
    """The settings by section, each with its description as the title."""
    titles = {"": "run", **{name: str(field.description) for name, field in model.model_fields.items()}}
    groups: dict[str, dict[str, FieldInfo]] = {}
    for name, field in leaves.items():
        groups.setdefault(titles[name.rpartition(".")[0]], {})[name] = field
    return groups


def _width() -> int:
    return min(shutil.get_terminal_size().columns, MAX_WIDTH)


def _format_groups(groups: Groups) -> str:
    return "".join(
        "\n".join([f"\n{title}:", *(_format_setting(*item) for item in group.items()), ""])
        for title, group in groups.items()
    )


def _format_setting(name: str, field: FieldInfo) -> str:
    head = f"  --{name.replace('_', '-')} {_METAVARS.get(name) or _metavar(field)}"
    text = f"{field.description}{_default(field)}"
    lines = textwrap.wrap(text, _width() - _INDENT, break_on_hyphens=False)
    if len(head) > _INDENT - 2:
        return "\n".join([head, *(" " * _INDENT + line for line in lines)])
    return "\n".join([f"{head:<{_INDENT}}{lines[0]}", *(" " * _INDENT + line for line in lines[1:])])


def _metavar(field: FieldInfo) -> str:
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not type(None)]
    if all(isinstance(kind, str) for kind in kinds):
        return "|".join(kinds)
    if get_origin(field.annotation) is dict:
        return "NAME=FILE" if kinds[1] is str else "JSON"
    if get_origin(field.annotation) is tuple:
        return "LIST"
    return {bool: "true|false", int: "N", float: "N"}.get(kinds[0], "TEXT")


def _default(field: FieldInfo) -> str:
    default = "" if field.is_required() else field.get_default(call_default_factory=True)
    if default in ("", None, (), {}) or f"{default}: " in str(field.description):
        return ""
    text = (
        str(default).lower() if isinstance(default, bool) else f"{default:g}" if isinstance(default, float) else default
    )
    return f" (default: {text})"
