"""The part of a pack that questions are understood and answered by: two prompts, and the words of the domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import AttributeTree
from prompts.loader import Pack
from prompts.pack_files import listed, read_toml, read_yaml
from prompts.templates import Messages, Prompt, environment, read_prompt

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, to_lower=True)]

LIBRARIAN_ROLES: Mapping[str, frozenset[str]] = {
    "question_understanding": frozenset({"question", "earlier", "performance_attributes", "efficiency_attributes"}),
    "question_answering": frozenset({"question", "earlier", "evidence"}),
}
"""The prompts of this part, each with the variables the program can fill in."""


@dataclass(frozen=True)
class DomainWords:
    """Other words for the names of the attribute tree, and words about cost.

    By ``cheap`` a question asks for what costs little; by ``saving`` and ``costly`` an idea shows whether it does.
    """

    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cheap: tuple[str, ...] = ()
    saving: tuple[str, ...] = ()
    costly: tuple[str, ...] = ()


@dataclass(frozen=True)
class LibrarianPack:
    """What a librarian works with; ``words`` are empty where the pack has none."""

    tree: AttributeTree
    words: DomainWords
    _name: str
    _prompts: Mapping[str, Prompt] = field(repr=False)

    def messages(self, role: str, **variables: object) -> Messages:
        """The prompt of a role of :data:`LIBRARIAN_ROLES`, filled in.

        Raises:
            PackError: the pack has no prompts for a librarian.
        """
        if role not in self._prompts:
            raise PackError(
                f"pack {self._name} has no folder librarian with the prompts questions are put to a model by: "
                "add it, or use --agents.librarian builtin"
            )
        return self._prompts[role].render(variables)


class _LibrarianFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompts: dict[str, list[str]]


class _WordFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    categories: dict[Word, list[Word]] = {}
    cheap: list[Word] = []
    saving: list[Word] = []
    costly: list[Word] = []

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_no_words(cls, content: object) -> object:
        return {} if content is None else content


def load_librarian_pack(pack: Pack) -> LibrarianPack:
    """Read the ``librarian`` folder of a pack, and check all of it; a pack may do without one.

    Raises:
        PackError: a file is missing or malformed, or two of them contradict each other; the message names the file.
    """
    folder = pack.folder / "librarian"
    if not folder.is_dir():
        return LibrarianPack(pack.attribute_tree, DomainWords(), pack.name, {})
    return LibrarianPack(
        pack.attribute_tree,
        _read_words(folder / "words.yaml", pack.attribute_tree),
        pack.name,
        _read_prompts(folder),
    )


def _read_prompts(folder: Path) -> dict[str, Prompt]:
    path = folder / "librarian.toml"
    declared = read_toml(path, _LibrarianFile).prompts
    if set(declared) != set(LIBRARIAN_ROLES):
        raise PackError(f"{path}: [prompts] has {listed(declared)}; expected {listed(LIBRARIAN_ROLES)}")
    jinja = environment(folder)
    return {
        role: read_prompt(folder / f"{role}.md", declared[role], offered, jinja)
        for role, offered in LIBRARIAN_ROLES.items()
    }


def _read_words(path: Path, tree: AttributeTree) -> DomainWords:
    words = read_yaml(path, _WordFile)
    names = {name.casefold() for tag in tree.tags() for name in (tag.main, tag.sub)}
    if unknown := set(words.categories) - names:
        raise PackError(f"{path}: categories has {listed(unknown)}, which the attribute tree lacks: mend it")
    categories = {name: tuple(others) for name, others in words.categories.items()}
    return DomainWords(categories, tuple(words.cheap), tuple(words.saving), tuple(words.costly))
