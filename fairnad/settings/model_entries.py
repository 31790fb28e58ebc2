"""One language model at one endpoint, as ``llm.models`` lists them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

JsonSchemaUse = Literal["auto", "on", "off"]
ModelChoice = Literal["weights", "bandit"]

PLAYERS = (
    "mutator", "idea_mutator", "debugger", "downscaler", "structural_judge", "librarian", "reader", "structurer",
)  # fmt: skip
"""Every role a language model can play."""

_CHANGEABLE = {
    "base_url", "key_variable", "concurrency", "json_schema", "requests_per_minute", "tokens_per_minute",
    "price_input", "price_output", "max_tokens",
}  # fmt: skip
"""What may differ when a run is resumed: where a model is asked, what that costs, and how long a reply may be."""


class ModelEntry(BaseModel):
    """A language model at an endpoint. The key is read from the variable that is named here, and never stored.

    Entries of the same ``name`` share the work of one model among several endpoints.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field("", description="what it is called in choices and results; empty: the model's name")
    model: str = Field(min_length=1, description="model name, as the endpoint knows it")
    base_url: str = Field("", description="OpenAI-compatible endpoint; empty: OpenAI's")
    key_variable: str = Field("OPENAI_API_KEY", description="environment variable that holds the key")
    weight: float = Field(1.0, gt=0, description="share of the designs, relative to the other models")
    roles: tuple[str, ...] = Field((), description="roles it plays and no other model does; empty: all others")
    concurrency: int = Field(8, ge=1, description="calls at a time")
    requests_per_minute: int = Field(0, ge=0, description="requests a minute; 0: as many as there are")
    tokens_per_minute: int = Field(0, ge=0, description="tokens a minute, of prompts and replies; 0: as many")
    price_input: float = Field(0.0, ge=0, description="USD per million tokens of prompts")
    price_output: float = Field(0.0, ge=0, description="USD per million tokens of replies")
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature")
    max_tokens: int = Field(8192, ge=16, description="tokens a reply may have")
    json_schema: JsonSchemaUse = Field("auto", description="replies that are data by JSON schema; auto: if taken")
    extra_body: dict[str, Any] = Field({}, description="more fields of a request's body, as the server knows them")

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.model

    @field_validator("roles")
    @classmethod
    def _are_known(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        for role in roles:
            if role not in PLAYERS:
                raise ValueError(f"expected some of {', '.join(PLAYERS)}, found {role}")
        return roles


def decisive(entries: Iterable[ModelEntry]) -> list[dict[str, Any]]:
    """What of the entries decides answers, and so may not change within a run; once for all of one name."""
    found: list[dict[str, Any]] = []
    for entry in entries:
        one = {**entry.model_dump(mode="json", exclude=_CHANGEABLE, exclude_defaults=True), "name": entry.title}
        if one not in found:
            found.append(one)
    return found
