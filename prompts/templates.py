"""Prompts as Markdown files: a ``# System`` and a ``# User`` part, Jinja with strict variables."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.errors import PackError
from prompts.pack_files import listed, read_text

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Messages = tuple[tuple[str, str], ...]
"""What a model is shown: (``system`` | ``user`` | ``assistant``, text), in order."""

_PARTS = re.compile(r"\A\s*# System\n(?P<system>.*?)^# User\n(?P<user>.*)\Z", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """One checked prompt file; ``variables`` are exactly those it shows."""

    variables: frozenset[str]
    system: Template
    user: Template

    def render(self, variables: Mapping[str, object]) -> Messages:
        """The system and the user message; variables the prompt does not show are left out.

        Raises:
            jinja2.UndefinedError: a variable the prompt shows is missing.
        """
        return tuple(
            (name, template.render(variables).strip() + "\n")
            for name, template in (("system", self.system), ("user", self.user))
        )


def environment(folder: Path) -> Environment:
    """The Jinja environment of a pack: includes come from its folder, and ``fenced`` quotes source code."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # models read the text as it is, nobody renders it as HTML
    )
    made.filters["fenced"] = fenced
    return made


def fenced(text: str, language: str = "") -> str:
    """``text`` as a Markdown code block whose fence is longer than any run of backticks inside."""
    code = str(text).rstrip()  # a variable that is missing raises here
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def read_prompt(path: Path, declared: Collection[str], offered: Collection[str], jinja: Environment) -> Prompt:
    """Read a prompt file and check its variables, declared against used in both directions.

    Args:
        declared: the variables ``pack.toml`` lists for it.
        offered: the variables the program can fill in.

    Raises:
        PackError: the file is missing or malformed, or the variables do not agree.
    """
    parts = _PARTS.match(read_text(path))
    if parts is None:
        raise PackError(f"{path}: expected the headings '# System' and '# User', in this order")
    used = _variables(path, parts["system"] + parts["user"], jinja)
    _check_variables(path, frozenset(declared), used, frozenset(offered))
    return Prompt(used, jinja.from_string(parts["system"]), jinja.from_string(parts["user"]))


def _variables(path: Path, text: str, jinja: Environment) -> frozenset[str]:
    """Every variable a prompt shows, also through the files it includes."""
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_referenced_templates, find_undeclared_variables

    try:
        tree = jinja.parse(text)
    except TemplateSyntaxError as error:
        raise PackError(f"{path}: not a valid Jinja template: {error.message}: mend it") from error
    found = set(find_undeclared_variables(tree))
    for name in find_referenced_templates(tree):
        if name is None:
            raise PackError(f"{path}: expected includes by a fixed name, found one by a variable: name the file")
        included = path.parent / name
        found |= _variables(included, read_text(included), jinja)
    return frozenset(found)


def _check_variables(path: Path, declared: frozenset[str], used: frozenset[str], offered: frozenset[str]) -> None:
    if unknown := declared - offered:
        raise PackError(f"{path}: pack.toml declares {listed(unknown)}, which nothing fills in: use {listed(offered)}")
    if unused := declared - used:
        raise PackError(f"{path}: pack.toml declares {listed(unused)}, which the prompt does not show: drop it")
    if undeclared := used - declared:
        raise PackError(f"{path}: the prompt shows {listed(undeclared)}, which pack.toml does not declare: declare it")
