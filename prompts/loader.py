"""Prompt packs: everything about a domain, as a folder of text files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from fairnad.domain.task import TaskDefaults
from fairnad.errors import BaseModelError, PackError
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.roles import templates_of
from prompts.module_library import ModuleLibrary, read_module_library
from prompts.pack_files import (
    PackFile,
    listed,
    read_attribute_tree,
    read_bytes,
    read_pack_file,
    read_tasks,
    read_text,
)
from prompts.paths import given_path
from prompts.templates import INCLUDED_SUFFIX, Messages, Prompt, environment, read_prompts

if TYPE_CHECKING:
    from jinja2 import Template

_HOME = Path(__file__).parent
PROMPTS = templates_of("search")
"""The prompts a pack may have, by name; one that replaces others is optional."""
_SUFFIXES = {INCLUDED_SUFFIX, ".toml", ".yaml", ".jsonl", ".py"}
"""The suffixes of the files that a pack may use."""


@dataclass(frozen=True)
class Pack:
    """One domain: prompts, predefined ideas, attribute tree, tasks and base models.

    ``files`` holds a digest of each file the pack may use, by name; ``digest`` is twelve hexadecimal digits for all of
    them. ``actions`` maps the text of a predefined idea to what the built-in designer does; ideas without an action
    are left out. ``library`` may be empty.
    """

    name: str
    description: str
    folder: Path
    digest: str
    files: Mapping[str, str] = field(repr=False)
    upscaling_ideas: tuple[str, ...]
    adjustment_ideas: tuple[str, ...]
    shrinking_ideas: tuple[str, ...]
    single_use_idea: str
    actions: Mapping[str, str]
    attribute_tree: AttributeTree
    library: ModuleLibrary
    tasks: Mapping[str, TaskDefaults]
    _prompts: Mapping[str, Prompt] = field(repr=False)
    _targets: Mapping[MutationTarget, Template] = field(repr=False)

    @property
    def ideas_file(self) -> Path:
        """The idea file of the pack, JSON lines."""
        return self.folder / "ideas.jsonl"

    def messages(self, role: str, /, **variables: object) -> Messages:
        """The prompt of a role, filled in: ``(("system", text), ("user", text))``.

        Args:
            role: the name of a prompt that the pack has, see :mod:`fairnad.roles`.
            variables: may include some that the prompt does not show.
        """
        return self._prompts[role].render(variables)

    def has(self, role: str) -> bool:
        """Whether the pack has a prompt of that name."""
        return role in self._prompts

    def format_idea(self, idea: Idea, target: MutationTarget) -> str:
        """The request for a mutation (paper F.2.3): a knowledge idea with its target, other ideas as they are."""
        if idea.kind is not IdeaKind.KNOWLEDGE:
            return idea.text
        return self._targets[target].render(idea=idea.text)

    def base_source(self, name_or_path: str) -> str:
        """The source of a base model: one of the pack by name, or any Python file by path.

        Raises:
            BaseModelError: there is no such model, or it cannot be read as UTF-8.
        """
        models = self.folder / "models"
        path = models / f"{name_or_path}.py"
        if not path.is_file():
            path = given_path(name_or_path)
        try:
            return path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            known = listed(file.stem for file in models.glob("*.py")) or "no model"
            raise BaseModelError(
                f"base {name_or_path!r}: expected a Python file or a model of pack {self.name} ({known}), found neither"
            ) from None
        except OSError as error:
            raise BaseModelError(f"base {path}: cannot be read ({error.strerror}): name a readable file") from error
        except UnicodeDecodeError as error:
            raise BaseModelError(f"base {path}: expected UTF-8, found another encoding: save it as UTF-8") from error


def load_pack(name_or_folder: str, replaced: Mapping[str, str] | None = None) -> Pack:
    """Read a pack and check all of it.

    Args:
        name_or_folder: a pack that comes with the program, or a folder anywhere.
        replaced: prompts from the settings, by name; see :func:`prompts.templates.read_prompts`.

    Raises:
        PackError: a file is missing or malformed, or two of them contradict each other; the message names the file,
            or the setting of a prompt.
    """
    folder = _find(name_or_folder)
    path = folder / "pack.toml"
    text = read_pack_file(path)
    files = _digests(folder)
    predefined = [*text.upscaling, *text.adjustment, *text.shrinking, text.single_use]
    return Pack(
        name=text.name,
        description=text.description,
        folder=folder,
        digest=_joint_digest(files),
        files=files,
        upscaling_ideas=tuple(entry.idea for entry in text.upscaling),
        adjustment_ideas=tuple(entry.idea for entry in text.adjustment),
        shrinking_ideas=tuple(entry.idea for entry in text.shrinking),
        single_use_idea=text.single_use.idea,
        actions={entry.idea: entry.action for entry in predefined if entry.action is not None},
        attribute_tree=read_attribute_tree(folder / "attribute_tree.yaml"),
        library=read_module_library(folder / "modules"),
        tasks=read_tasks(folder / "tasks.toml"),
        _prompts=read_prompts(path, text.prompts, "search", replaced),
        _targets=_read_targets(path, text),
    )


@cache
def continuation() -> str:
    """The request to continue a reply that was cut off at the token limit; the same in every domain."""
    return read_text(_HOME / "continuation.md").strip()


def edit_correction(problem: str, closest: str) -> str:
    """The request to correct edits that cannot be applied; the same in every domain.

    Args:
        problem: what is wrong with them, in one line.
        closest: the numbered lines that are most similar to a piece that was not found; may be empty.
    """
    template = environment(_HOME).get_template("edit_correction.md")
    return template.render(problem=problem, closest=closest).strip()


def _find(name_or_folder: str) -> Path:
    for folder in (_HOME / name_or_folder, given_path(name_or_folder)):
        if (folder / "pack.toml").is_file():
            return folder.resolve()
    known = listed(path.parent.name for path in _HOME.glob("*/pack.toml"))
    raise PackError(f"pack {name_or_folder!r}: expected one of ({known}) or a folder with a pack.toml, found neither")


def _read_targets(path: Path, text: PackFile) -> dict[MutationTarget, Template]:
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_undeclared_variables

    jinja = environment(path.parent)
    templates = {}
    for target in MutationTarget:
        request = text.targets.get(target, "")
        place = f"{path}: [targets] {str(target)!r}"
        try:
            if find_undeclared_variables(jinja.parse(request)) != {"idea"}:
                raise PackError(f"{place}: expected a text that shows {{{{ idea }}}} alone, found {request!r}: fix it")
            templates[target] = jinja.from_string(request)
        except TemplateSyntaxError as error:
            raise PackError(f"{place}: not a valid Jinja template: {error.message}: fix it") from error
    return templates


def _digests(folder: Path) -> dict[str, str]:
    """A digest of every file the pack may use, by name, without notes and editor backups."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES]
    return {
        name.as_posix(): hashlib.sha256(read_bytes(folder / name)).hexdigest()
        for name in names
        if (folder / name).is_file() and not any(part.startswith((".", "__")) for part in name.parts)
    }


def _joint_digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in files.items()).encode()).hexdigest()[:12]
