"""Prompt packs: all that is special to a domain, as a folder of text files."""

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
from fairnad.ideas.checked_modules import CheckedModule
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from prompts.pack_files import (
    PackFile,
    listed,
    read_attribute_tree,
    read_bytes,
    read_pack_file,
    read_tasks,
    read_text,
)
from prompts.pack_modules import read_modules
from prompts.paths import given_path
from prompts.templates import INCLUDED_SUFFIX, Messages, Prompt, environment, parse_prompt, read_prompt

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_HOME = Path(__file__).parent
_REFINEMENT = {"current", "previous", "idea", "performance_attributes", "efficiency_attributes", "refinement_ideas"}

ROLES: Mapping[str, frozenset[str]] = {
    "mutation": frozenset({"idea", "parent"}),
    "debug": frozenset({"failed", "parent", "prompt", "error", "traceback", "shapes"}),
    "downscale": frozenset({"oversized", "parent", "prompt", "shrinking", "single_use"}),
    "idea_mutation_improved": frozenset(_REFINEMENT),
    "idea_mutation_degraded": frozenset(_REFINEMENT),
    "structural_judge": frozenset({"judged", "parent"}),
}
"""The prompts every pack has, each with the variables the program can fill in."""

FORM_ROLES: Mapping[str, frozenset[str]] = {
    "mutation_edit": ROLES["mutation"],
    "debug_edit": ROLES["debug"],
    "downscale_edit": ROLES["downscale"],
    "idea_mutation_edit": frozenset({*_REFINEMENT, "improved"}),
    "mutation_module": frozenset({"idea", "places"}),
}
"""The prompts for other forms of replies than whole files; a pack may do without any of them."""

_INSTEAD_OF: Mapping[str, frozenset[str]] = {
    "mutation_edit": frozenset({"mutation"}),
    "mutation_module": frozenset({"mutation"}),
    "debug_edit": frozenset({"debug"}),
    "downscale_edit": frozenset({"downscale"}),
    "idea_mutation_edit": frozenset({"idea_mutation_improved", "idea_mutation_degraded"}),
}
"""The prompts for whole files whose place each prompt for another form takes."""

_OFFERED = {**ROLES, **FORM_ROLES}
_SUFFIXES = {INCLUDED_SUFFIX, ".toml", ".yaml", ".jsonl", ".py"}
"""What the names of the files end in that a pack is read from."""


@dataclass(frozen=True)
class Pack:
    """One domain: prompts, predefined ideas, attribute tree, tasks and base models.

    ``files`` holds a digest of each file the pack can use, by name, and ``digest`` is twelve hexadecimal digits that
    change whenever one of them does. ``actions`` says for a
    predefined idea, by its text, what the built-in designer does; ideas without an action are left out.
    ``ideas_file`` is where the pack's ideas lie; the idea store reads it. ``modules`` are those a language model is
    offered to compose from; a pack may have none.
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
    modules: tuple[CheckedModule, ...]
    tasks: Mapping[str, TaskDefaults]
    _prompts: Mapping[str, Prompt] = field(repr=False)
    _targets: Mapping[MutationTarget, Template] = field(repr=False)

    @property
    def ideas_file(self) -> Path:
        """The idea file of the pack, JSON lines."""
        return self.folder / "ideas.jsonl"

    def messages(self, role: str, **variables: object) -> Messages:
        """The prompt of a role, filled in: ``(("system", text), ("user", text))``.

        Args:
            role: a key of :data:`ROLES`, or one of :data:`FORM_ROLES` the pack has.
            variables: what the program can fill in; a prompt need not show all of it.
        """
        return self._prompts[role].render(variables)

    def has(self, role: str) -> bool:
        """Whether the pack has a prompt of that role."""
        return role in self._prompts

    def format_idea(self, idea: Idea, target: MutationTarget) -> str:
        """The request a mutation is asked with (paper F.2.3).

        Knowledge ideas are worded for their target; the other kinds name their own and are shown as they are.
        """
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


def load_pack(name_or_folder: str, wordings: Mapping[str, str] | None = None) -> Pack:
    """Read a pack and check all of it.

    Args:
        name_or_folder: a pack that comes with the program, or a folder anywhere.
        wordings: prompts that replace those of the pack, by role; they show the same variables. Where a prompt for
            whole files is worded anew, the pack's own for other forms in its place are left out: nobody would be
            asked by the new one.

    Raises:
        PackError: a file is missing or malformed, or two of them contradict each other; the message names the file,
            or the setting a wording comes from.
    """
    folder = _find(name_or_folder)
    path = folder / "pack.toml"
    text = read_pack_file(path)
    files = _digests(folder)
    jinja = environment(folder)
    worded = wordings or {}
    prompts = {role: one for role, one in _read_prompts(folder, text, jinja).items() if not _gives_way(role, worded)}
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
        modules=read_modules(folder / "modules.py"),
        tasks=read_tasks(folder / "tasks.toml"),
        _prompts=prompts | _reword(folder, text, worded, jinja),
        _targets=_read_targets(path, text, jinja),
    )


@cache
def continuation() -> str:
    """What a model is told whose reply was cut off at the token limit; the same in every domain."""
    return read_text(_HOME / "continuation.md").strip()


def edit_correction(problem: str, closest: str) -> str:
    """What a model is told whose edits cannot be carried out; the same in every domain.

    Args:
        problem: what is wrong with them, in a line.
        closest: the numbered lines of the file that are most like a piece that was not found; may be empty.
    """
    return _edit_correction().render(problem=problem, closest=closest).strip()


@cache
def _edit_correction() -> Template:
    return environment(_HOME).from_string(read_text(_HOME / "edit_correction.md"))


def _find(name_or_folder: str) -> Path:
    for folder in (_HOME / name_or_folder, given_path(name_or_folder)):
        if (folder / "pack.toml").is_file():
            return folder.resolve()
    known = listed(path.parent.name for path in _HOME.glob("*/pack.toml"))
    raise PackError(f"pack {name_or_folder!r}: expected one of ({known}) or a folder with a pack.toml, found neither")


def _read_prompts(folder: Path, text: PackFile, jinja: Environment) -> dict[str, Prompt]:
    path = folder / "pack.toml"
    if unknown := set(text.prompts) - set(_OFFERED):
        raise PackError(f"{path}: [prompts] has {listed(unknown)}; expected only {listed(_OFFERED)}")
    if missing := set(ROLES) - set(text.prompts):
        raise PackError(f"{path}: [prompts] lacks {listed(missing)}: list the variables each one shows")
    return {
        role: read_prompt(folder / f"{role}.md", shown, _OFFERED[role], jinja) for role, shown in text.prompts.items()
    }


def _gives_way(role: str, wordings: Mapping[str, str]) -> bool:
    return role not in wordings and not _INSTEAD_OF.get(role, frozenset()).isdisjoint(wordings)


def _reword(folder: Path, text: PackFile, wordings: Mapping[str, str], jinja: Environment) -> dict[str, Prompt]:
    return {
        role: parse_prompt(
            f"--{role.replace('_', '-')}-prompt", wording, folder, text.prompts.get(role, ()), _OFFERED[role], jinja
        )
        for role, wording in wordings.items()
    }


def _read_targets(path: Path, text: PackFile, jinja: Environment) -> dict[MutationTarget, Template]:
    from jinja2 import TemplateSyntaxError
    from jinja2.meta import find_undeclared_variables

    templates = {}
    for target in MutationTarget:
        wording = text.targets.get(target, "")
        place = f"{path}: [targets] {str(target)!r}"
        try:
            if find_undeclared_variables(jinja.parse(wording)) != {"idea"}:
                raise PackError(f"{place}: expected a text that shows {{{{ idea }}}} alone, found {wording!r}: mend it")
            templates[target] = jinja.from_string(wording)
        except TemplateSyntaxError as error:
            raise PackError(f"{place}: not a valid Jinja template: {error.message}: mend it") from error
    return templates


def _digests(folder: Path) -> dict[str, str]:
    """Of the bytes of every file the pack can use, by name: notes and backups of an editor are none of them."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES]
    return {
        name.as_posix(): hashlib.sha256(read_bytes(folder / name)).hexdigest()
        for name in names
        if (folder / name).is_file() and not any(part.startswith((".", "__")) for part in name.parts)
    }


def _joint_digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{name}\0{digest}\n" for name, digest in files.items()).encode()).hexdigest()[:12]
