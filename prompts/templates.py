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

OPTIONAL: Mapping[str, object] = {"lessons": (), "parts": ()}
"""Variables a prompt may show without declaring them, with what they are where nothing fills them in."""

INCLUDED_SUFFIX = ".md"
"""What the name of a file ends in that prompts include."""

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
            (name, template.render({**OPTIONAL, **variables}).strip() + "\n")
            for name, template in (("system", self.system), ("user", self.user))
        )


def environment(folder: Path) -> Environment:
    """The Jinja environment of a pack: includes come from its folder, and ``fenced`` quotes source code."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # Sandboxed: a prompt may also come with the settings of a run, and a server takes those from a web page.
    made = SandboxedEnvironment(
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
    return parse_prompt(str(path), read_text(path), path.parent, declared, offered, jinja)


def parse_prompt(
    place: str, text: str, folder: Path, declared: Collection[str], offered: Collection[str], jinja: Environment
) -> Prompt:
    """A prompt from its text, checked as :func:`read_prompt` checks a file.

    Args:
        place: where the text comes from, for messages.
        folder: where the files it includes lie.

    Raises:
        PackError: the text is malformed, or the variables do not agree.
    """
    parts = _PARTS.match(text)
    if parts is None:
        raise PackError(f"{place}: expected the headings '# System' and '# User', in this order")
    used = _variables(place, parts["system"] + parts["user"], folder, jinja)
    _check_variables(place, frozenset(declared), used, frozenset(offered))
    return Prompt(used, jinja.from_string(parts["system"]), jinja.from_string(parts["user"]))


def _variables(place: str, text: str, folder: Path, jinja: Environment) -> frozenset[str]:
    """Every variable a prompt shows, also through the files it includes."""
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_referenced_templates, find_undeclared_variables

    try:
        tree = jinja.parse(text)
    except TemplateSyntaxError as error:
        raise PackError(f"{place}: not a valid Jinja template: {error.message}: mend it") from error
    found = set(find_undeclared_variables(tree))
    for name in find_referenced_templates(tree):
        if name is None:
            raise PackError(f"{place}: expected includes by a fixed name, found one by a variable: name the file")
        if not name.endswith(INCLUDED_SUFFIX):
            raise PackError(f"{place}: expected includes of {INCLUDED_SUFFIX} files, found {name!r}: rename that file")
        included = folder / name
        found |= _variables(str(included), read_text(included), included.parent, jinja)
    return frozenset(found - OPTIONAL.keys())


def _check_variables(place: str, declared: frozenset[str], used: frozenset[str], offered: frozenset[str]) -> None:
    if unknown := declared - offered:
        raise PackError(f"{place}: pack.toml declares {listed(unknown)}, which nothing fills in: use {listed(offered)}")
    if unused := declared - used:
        raise PackError(
            f"{place}: pack.toml declares {listed(unused)}, which the prompt does not show: show it or drop it"
        )
    if undeclared := used - declared:
        raise PackError(f"{place}: the prompt shows {listed(undeclared)}, which pack.toml does not declare: declare it")
