"""Every knob of building knowledge, with its default. JSON-only: it is also LangGraph's run context."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from fairnad.settings.search_settings import CHANGEABLE, Implementation, LanguageModelSettings


class KnowledgeAgentSettings(BaseModel):
    """Who plays each role; auto: the language model where one is configured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    structurer: Implementation = Field("auto", description="names the attributes of reference models")
    reader: Implementation = Field("auto", description="filters papers and extracts their ideas")


class KnowledgeContext(BaseModel):
    """All that decides what is built."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    out: str = Field("knowledge", description="folder the tree and the ideas are built in")
    sources: tuple[str, ...] = Field((), description="papers to read: files, folders, lists, arxiv:ID, a CVF year page")
    pack: str = Field("vision", description="prompt pack: a name or a folder")
    tree: str = Field("", description="attribute tree (YAML); empty: that of the out folder, else the pack's")
    unstructured: bool = Field(
        False, description="extract without the tree, and tag afterwards: the paper's comparison"
    )
    min_models: int = Field(1, ge=1, description="attributes that fewer reference models have are dropped")
    code_characters: int = Field(24_000, ge=500, description="source of a reference model shown at a time")
    method_characters: int = Field(24_000, ge=500, description="text of a paper's method that is read")
    papers_at_once: int = Field(16, ge=1, description="papers under way at a time", json_schema_extra=CHANGEABLE)
    request_seconds: float = Field(
        3.0, ge=0, description="seconds between two requests to a web site", json_schema_extra=CHANGEABLE
    )
    arxiv: str = Field(
        "https://export.arxiv.org/api/query", description="address of the arXiv interface", json_schema_extra=CHANGEABLE
    )
    agents: KnowledgeAgentSettings = Field(KnowledgeAgentSettings(), description="who plays each role")
    llm: LanguageModelSettings = Field(LanguageModelSettings(), description="the language model")
