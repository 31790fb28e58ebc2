"""The settings of building knowledge with their defaults. JSON only: they are also LangGraph's run context."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, model_validator

from fairnad.settings.model_entries import LanguageModelSettings
from fairnad.settings.old_names import update_names
from fairnad.settings.role_settings import PlayerSettings
from fairnad.settings.sections import Section

NO_TREE = "none"


class KnowledgeContext(Section):
    """All settings of a build."""

    out: str = Field("knowledge", description="folder for the attribute tree and the ideas")
    sources: tuple[str, ...] = Field((), description="papers: files, folders, lists, arxiv:ID, or a CVF year page")
    pack: str = Field("vision", description="prompt pack: a name or a folder")
    tree: str = Field(
        "",
        description="attribute tree (YAML file); empty: that of the out folder, else the pack's; none: extract without "
        "a tree and tag the ideas afterwards (the paper's comparison)",
    )
    min_models: int = Field(1, ge=1, description="drop attributes that fewer reference models have")
    agents: PlayerSettings = Field(PlayerSettings(), description="who plays each role")
    llm: LanguageModelSettings = Field(LanguageModelSettings(), description="language models")

    @model_validator(mode="before")
    @classmethod
    def _update_names(cls, given: Any, info: ValidationInfo) -> Any:
        return update_names(given, info)

    @property
    def uses_tree(self) -> bool:
        """Whether papers are read with the attribute tree."""
        return self.tree != NO_TREE
