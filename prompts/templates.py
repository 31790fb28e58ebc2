"""Prompts as Markdown files: a ``# System`` and a ``# User`` part, Jinja with strict variables."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.errors import PackError
from fairnad.roles import Graph, templates_of
from prompts.pack_files import listed, read_text

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Messages = tuple[tuple[str, str], ...]
"""The messages to a model: (``system`` | ``user`` | ``assistant``, text), in order."""

OPTIONAL: Mapping[str, object] = {"lessons": (), "parts": ()}
"""Variables that a prompt may use without declaring them, with their defaults."""

INCLUDED_SUFFIX = ".md"
"""The suffix of files that prompts include."""

_PARTS = re.compile(r"\A\s*# System\n(?P<system>.*?)^# User\n(?P<user>.*)\Z", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """One checked prompt."""

    system: Template
    user: Template

    def render(self, variables: Mapping[str, object]) -> Messages:
        """The system and the user message; variables that the prompt does not show are ignored.

        Raises:
            jinja2.UndefinedError: a variable of the prompt is missing.
        """
        return tuple(
            (name, template.render({**OPTIONAL, **variables}).strip() + "\n")
            for name, template in (("system", self.system), ("user", self.user))
        )


def environment(folder: Path) -> Environment:
    """The Jinja environment of a pack: includes come from its folder, the filter ``fenced`` quotes source code."""
    from jinja2 import FileSystemLoader, StrictUndefined
    from jinja2.sandbox import SandboxedEnvironment

    # Sandboxed: prompts may come from settings, which a server receives from a web page.
    made = SandboxedEnvironment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # the text is not rendered as HTML
    )
    made.filters["fenced"] = fenced
    return made


def fenced(text: str, language: str = "") -> str:
    """``text`` as a Markdown code block whose fence is longer than any run of backticks inside."""
    code = str(text).rstrip()  # a variable that is missing raises here
    longest = max((len(run) for run in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{code}\n{fence}"


def read_prompts(
    path: Path, declared: Mapping[str, Collection[str]], graph: Graph, replaced: Mapping[str, str] | None = None
) -> dict[str, Prompt]:
    """The prompts that a TOML file declares, each from the file ``NAME.md`` beside it, with their variables checked.

    Args:
        declared: the variables that each prompt shows, by name.
        graph: the graph whose prompts are expected; a prompt that replaces others is optional.
        replaced: prompts from the settings, by name. With a prompt for whole files, the pack's prompts for other edit
            formats in its place are left out: otherwise the new prompt would not be asked.

    Raises:
        PackError: a prompt is unknown, missing or malformed, or its variables do not agree.
    """
    templates, replaced = templates_of(graph), replaced or {}
    if unknown := set(declared) - set(templates):
        raise PackError(f"{path}: [prompts] has {listed(unknown)}; expected only {listed(templates)}")
    if missing := {name for name, template in templates.items() if not template.replaces} - set(declared):
        raise PackError(f"{path}: [prompts] lacks {listed(missing)}: list the variables each one shows")
    jinja = environment(path.parent)
    prompts = {}
    for name, template in templates.items():
        file = path.with_name(f"{name}.md")
        if name in replaced:
            place, text = f"--prompts: {name}", replaced[name]
        elif name not in declared or not template.replaces.isdisjoint(replaced):
            continue
        else:
            place, text = str(file), read_text(file)
        shown = frozenset(declared.get(name, ()))
        prompts[name] = _parse_prompt(place, text, path.parent, shown, template.variables, jinja)
    return prompts


def _parse_prompt(
    place: str, text: str, folder: Path, declared: frozenset[str], offered: frozenset[str], jinja: Environment
) -> Prompt:
    """A prompt that shows exactly its declared variables; ``place`` says in messages where the text comes from."""
    parts = _PARTS.match(text)
    if parts is None:
        raise PackError(f"{place}: expected the headings '# System' and '# User', in this order")
    used = _variables(place, parts["system"] + parts["user"], folder, jinja)
    if unknown := declared - offered:
        raise PackError(f"{place}: pack.toml declares {listed(unknown)}, which nothing fills in: use {listed(offered)}")
    if unused := declared - used:
        raise PackError(
            f"{place}: pack.toml declares {listed(unused)}, which the prompt does not show: show it or drop it"
        )
    if undeclared := used - declared:
        raise PackError(f"{place}: the prompt shows {listed(undeclared)}, which pack.toml does not declare: declare it")
    return Prompt(jinja.from_string(parts["system"]), jinja.from_string(parts["user"]))


def _variables(place: str, text: str, folder: Path, jinja: Environment) -> frozenset[str]:
    """Every variable that a prompt shows, also in the files it includes."""
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_referenced_templates, find_undeclared_variables

    try:
        tree = jinja.parse(text)
    except TemplateSyntaxError as error:
        raise PackError(f"{place}: not a valid Jinja template: {error.message}: fix it") from error
    found = set(find_undeclared_variables(tree))
    for name in find_referenced_templates(tree):
        if name is None:
            raise PackError(f"{place}: expected includes by a fixed name, found one by a variable: name the file")
        if not name.endswith(INCLUDED_SUFFIX):
            raise PackError(f"{place}: expected includes of {INCLUDED_SUFFIX} files, found {name!r}: rename that file")
        included = folder / name
        found |= _variables(str(included), read_text(included), included.parent, jinja)
    return frozenset(found - OPTIONAL.keys())
