"""Runs the commands of ``python -m graphs.search`` and ``python -m graphs.knowledge``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fairnad.errors import SettingsError
from graphs.cli.arguments import Parser, describe_unknown


class Command(NamedTuple):
    """A command; ``module`` has ``execute(parser, arguments) -> exit status`` and is imported on use."""

    summary: str
    module: str


def run_command(program: str, commands: Mapping[str, Command], name: str, arguments: Sequence[str]) -> int:
    """Run a command and return its exit status.

    Raises:
        SettingsError: the command is unknown, or its arguments are wrong.
        SystemExit: ``--help`` was given.
    """
    if name not in commands:
        raise SettingsError(describe_unknown("command", name, commands).replace("settings", "commands"))
    command = commands[name]
    description = f"{command.summary[0].upper()}{command.summary[1:]}."
    parser = Parser(prog=f"{program} {name}", description=description)
    return int(importlib.import_module(command.module).execute(parser, arguments))


def format_commands(commands: Mapping[str, Command]) -> str:
    """The commands with their summaries, one per line."""
    width = max(map(len, commands)) + 2
    return "\n".join(["commands:", *(f"  {name:<{width}}{command.summary}" for name, command in commands.items())])
