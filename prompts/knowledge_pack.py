"""The part of a pack for building knowledge: attribute template, lexicon, reference models, prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import AttributeTemplate, Category, CategoryNote, Granularity, Target
from prompts.lexicon import Lexicon, read_lexicon
from prompts.loader import Pack, load_pack
from prompts.pack_files import Text, listed, read_toml, read_yaml
from prompts.templates import Messages, Prompt, read_prompts


class Reference(BaseModel):
    """A reference model: a module of an installed package, and the classes or functions that build the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    module: Text
    entries: tuple[Text, ...]


@dataclass(frozen=True)
class KnowledgePack:
    """A pack with its attribute template, lexicon, reference models and prompts for building knowledge."""

    pack: Pack
    template: AttributeTemplate
    lexicon: Lexicon
    references: tuple[Reference, ...]
    _prompts: Mapping[str, Prompt] = field(repr=False)

    def messages(self, role: str, /, **variables: object) -> Messages:
        """The rendered prompt of a role."""
        return self._prompts[role].render(variables)


class _KnowledgeFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    prompts: dict[str, list[str]]
    references: list[Reference] = []


class _Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about: Text
    examples: list[Text]


def load_knowledge_pack(name_or_folder: str) -> KnowledgePack:
    """Read and check a pack with its ``knowledge`` folder.

    Raises:
        PackError: a file is missing or malformed, or two of them contradict each other; the message names the file.
    """
    pack = load_pack(name_or_folder)
    folder = pack.folder / "knowledge"
    path = folder / "knowledge.toml"
    file = read_toml(path, _KnowledgeFile)
    template = _read_template(pack)
    return KnowledgePack(
        pack=pack,
        template=template,
        lexicon=read_lexicon(folder / "lexicon.yaml"),
        references=tuple(file.references),
        _prompts=read_prompts(path, file.prompts, "knowledge"),
    )


def _read_template(pack: Pack) -> AttributeTemplate:
    path = pack.folder / "knowledge" / "attribute_template.yaml"
    content = read_yaml(path, dict[Target, dict[Granularity, dict[Text, _Note]]])
    template = AttributeTemplate(
        {
            Category(target, granularity, main): CategoryNote(note.about, tuple(note.examples))
            for target, granularities in content.items()
            for granularity, mains in granularities.items()
            for main, note in mains.items()
        }
    )
    tree = set(pack.attribute_tree.categories)
    if odd := tree ^ set(template.notes):
        place = "the tree" if next(iter(odd)) in tree else "the template"
        raise PackError(
            f"{pack.folder}: attribute_tree.yaml and knowledge/attribute_template.yaml must have the same main "
            f"categories, but only {place} has {listed(map(str, odd))}: fix one of them"
        )
    return template
