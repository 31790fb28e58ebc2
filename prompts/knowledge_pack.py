"""The part of a pack that knowledge is built by: the attribute template, the lexicon, the references, four prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import AttributeTemplate, Category, CategoryNote, Granularity, Target
from prompts.lexicon import Lexicon, read_lexicon
from prompts.loader import Pack, load_pack
from prompts.pack_files import Text, listed, read_toml, read_yaml
from prompts.templates import Messages, Prompt, environment, read_prompt

_READING = {"performance_attributes", "efficiency_attributes", "title", "abstract"}

KNOWLEDGE_ROLES: Mapping[str, frozenset[str]] = {
    "attribute_structuring": frozenset({"template", "name", "code"}),
    "paper_filter": frozenset(_READING),
    "idea_extraction": frozenset({*_READING, "method"}),
    "idea_extraction_unstructured": frozenset({"title", "abstract", "method"}),
}
"""The prompts of this part, each with the variables the program can fill in."""


class Reference(BaseModel):
    """A reference model: the module of an installed package, and the classes or functions a model is built by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Text
    module: Text
    entries: tuple[Text, ...]


@dataclass(frozen=True)
class KnowledgePack:
    """What knowledge is built by, beside the pack it belongs to."""

    pack: Pack
    template: AttributeTemplate
    lexicon: Lexicon
    references: tuple[Reference, ...]
    _prompts: Mapping[str, Prompt] = field(repr=False)

    def messages(self, role: str, **variables: object) -> Messages:
        """The prompt of a role of :data:`KNOWLEDGE_ROLES`, filled in."""
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
    """Read a pack with its ``knowledge`` folder, and check all of it.

    Raises:
        PackError: a file is missing or malformed, or two of them contradict each other; the message names the file.
    """
    pack = load_pack(name_or_folder)
    folder = pack.folder / "knowledge"
    path = folder / "knowledge.toml"
    file = read_toml(path, _KnowledgeFile)
    if set(file.prompts) != set(KNOWLEDGE_ROLES):
        raise PackError(f"{path}: [prompts] has {listed(file.prompts)}; expected {listed(KNOWLEDGE_ROLES)}")
    jinja = environment(folder)
    template = _read_template(pack)
    _check_categories(pack, template)
    return KnowledgePack(
        pack=pack,
        template=template,
        lexicon=read_lexicon(folder / "lexicon.yaml"),
        references=tuple(file.references),
        _prompts={
            role: read_prompt(folder / f"{role}.md", file.prompts[role], offered, jinja)
            for role, offered in KNOWLEDGE_ROLES.items()
        },
    )


def _read_template(pack: Pack) -> AttributeTemplate:
    path = pack.folder / "knowledge" / "attribute_template.yaml"
    content = read_yaml(path, dict[Target, dict[Granularity, dict[Text, _Note]]])
    return AttributeTemplate(
        {
            Category(target, granularity, main): CategoryNote(note.about, tuple(note.examples))
            for target, granularities in content.items()
            for granularity, mains in granularities.items()
            for main, note in mains.items()
        }
    )


def _check_categories(pack: Pack, template: AttributeTemplate) -> None:
    tree = set(pack.attribute_tree.categories)
    if odd := tree ^ set(template.notes):
        place = "the tree" if next(iter(odd)) in tree else "the template"
        raise PackError(
            f"{pack.folder}: attribute_tree.yaml and knowledge/attribute_template.yaml must have the same main "
            f"categories, but only {place} has {listed(map(str, odd))}: mend one of them"
        )
