"""The librarian's part of a pack: prompts, and words of the domain."""

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
from prompts.templates import Messages, Prompt, read_prompts

Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, to_lower=True)]


class DomainWords(BaseModel):
    """Synonyms for the names of the attribute tree, and words about cost.

    A word of ``cheap`` in a question asks for low cost; ``saving`` and ``costly`` are words of ideas that lower or
    raise the cost.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    categories: dict[Word, tuple[Word, ...]] = {}
    cheap: tuple[Word, ...] = ()
    saving: tuple[Word, ...] = ()
    costly: tuple[Word, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _accept_empty_file(cls, content: object) -> object:
        return {} if content is None else content


@dataclass(frozen=True)
class LibrarianPack:
    """The librarian's prompts, tree and words; ``words`` may be empty."""

    tree: AttributeTree
    words: DomainWords
    _name: str
    _prompts: Mapping[str, Prompt] = field(repr=False)

    def messages(self, role: str, /, **variables: object) -> Messages:
        """The rendered prompt of a role.

        Raises:
            PackError: the pack has no prompts for a librarian.
        """
        if role not in self._prompts:
            raise PackError(
                f"pack {self._name} has no folder librarian with prompts for a language model: "
                "add it, or use --agents.librarian builtin"
            )
        return self._prompts[role].render(variables)


class _LibrarianFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompts: dict[str, list[str]]


def load_librarian_pack(pack: Pack) -> LibrarianPack:
    """Read and check the optional ``librarian`` folder of a pack.

    Raises:
        PackError: a file is missing or malformed, or two of them contradict each other; the message names the file.
    """
    folder = pack.folder / "librarian"
    if not folder.is_dir():
        return LibrarianPack(pack.attribute_tree, DomainWords(), pack.name, {})
    path = folder / "librarian.toml"
    declared = read_toml(path, _LibrarianFile).prompts
    return LibrarianPack(
        pack.attribute_tree,
        _read_words(folder / "words.yaml", pack.attribute_tree),
        pack.name,
        read_prompts(path, declared, "chat"),
    )


def _read_words(path: Path, tree: AttributeTree) -> DomainWords:
    words = read_yaml(path, DomainWords)
    names = {name.casefold() for tag in tree.tags() for name in (tag.main, tag.sub)}
    if unknown := set(words.categories) - names:
        raise PackError(f"{path}: categories has {listed(unknown)}, which the attribute tree lacks: fix it")
    return words
