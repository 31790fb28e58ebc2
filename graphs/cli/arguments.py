"""What all command lines share: mistakes told in one line, and the ways to speak."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from fairnad import __version__
from fairnad.errors import SettingsError

PROGRAM = "python -m graphs.search"


@dataclass(frozen=True, slots=True)
class Presentation:
    """How a command speaks; no setting of the run, which stays the same however it is shown.

    ``quiet``: the result alone. ``json``: for programs, see :mod:`graphs.cli.output.events`. ``dry_run``: tell the plan
    and do nothing.
    """

    quiet: bool = False
    json: bool = False
    dry_run: bool = False


SPOKEN = Presentation()
"""For people, as a search speaks unless it is asked otherwise."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the nearest flag, instead of printing the usage; knows ``--version``."""

    def __init__(self, *, add_help: bool = True, **named: Any) -> None:
        super().__init__(add_help=add_help, **named)
        if add_help:
            self.add_argument("--version", action="version", version=f"FairNAD {__version__}")

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong.

        Raises:
            SettingsError: always.
        """
        odd = message.removeprefix("unrecognized arguments: ")
        if odd != message:
            raise SettingsError(unknown("flag", odd.split()[0].split("=")[0], self._option_string_actions))
        raise SettingsError(message)


def unknown(what: str, found: str, known: Iterable[str]) -> str:
    """That there is no such thing, with the nearest that there is."""
    near = difflib.get_close_matches(found, list(known), n=1, cutoff=0.5)
    return f"unknown {what} {found}" + (f"; did you mean {near[0]}?" if near else "; --help lists what there is")
