"""Language models: one entry for each model at an endpoint, and the settings that all of them share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from fairnad.roles import check_names
from fairnad.settings.sections import CHANGEABLE, Section

JsonSchemaUse = Literal["auto", "on", "off"]
ModelChoice = Literal["weights", "bandit"]

_UNNAMED = "unnamed"


class ModelEntry(Section):
    """A language model at an endpoint. The key is read from an environment variable and never stored.

    Entries of the same ``name`` are one model at several endpoints, which share its work.
    """

    name: str = Field("", description="name in choices and results; empty: the model name")
    model: str = Field(min_length=1, description="model name at the endpoint; empty: built-in roles only")
    base_url: str = Field("", description="OpenAI-compatible endpoint; empty: OpenAI", json_schema_extra=CHANGEABLE)
    key_variable: str = Field(
        "OPENAI_API_KEY", description="environment variable with the API key", json_schema_extra=CHANGEABLE
    )
    weight: float = Field(1.0, gt=0, description="share of the designs, relative to the other models")
    roles: tuple[str, ...] = Field((), description="roles that only this model plays; empty: all other roles")
    concurrency: int = Field(8, ge=1, description="parallel calls", json_schema_extra=CHANGEABLE)
    requests_per_minute: int = Field(
        0, ge=0, description="requests per minute; 0: unlimited", json_schema_extra=CHANGEABLE
    )
    tokens_per_minute: int = Field(
        0, ge=0, description="tokens per minute, prompts and replies; 0: unlimited", json_schema_extra=CHANGEABLE
    )
    price_input: float = Field(
        0.0, ge=0, description="USD per million prompt tokens; 0: unknown", json_schema_extra=CHANGEABLE
    )
    price_output: float = Field(
        0.0, ge=0, description="USD per million reply tokens; 0: unknown", json_schema_extra=CHANGEABLE
    )
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature")
    max_tokens: int = Field(8192, ge=16, description="maximum tokens per reply", json_schema_extra=CHANGEABLE)
    json_schema: JsonSchemaUse = Field(
        "auto", description="send JSON schemas; auto: if the endpoint accepts them", json_schema_extra=CHANGEABLE
    )
    extra_body: dict[str, Any] = Field({}, description="additional fields of the request body, as JSON")

    @property
    def title(self) -> str:
        """The name in choices and results."""
        return self.name or self.model

    @field_validator("roles")
    @classmethod
    def _are_known(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        check_names(roles)
        return roles


class LanguageModelSettings(Section):
    """The language models. Keys are read from environment variables and never stored.

    The fields of an entry can be given here directly. They describe the only model, or, beside ``models``, they are the
    defaults of all entries. A single model is written the same way.
    """

    models: tuple[ModelEntry, ...] = Field(
        (), description="several models or endpoints: a YAML or JSON file, or JSON text"
    )
    choice: ModelChoice = Field("weights", description="how a model is chosen for each candidate")
    timeout_seconds: float = Field(
        300, gt=0, description="seconds without a token until a call is cancelled", json_schema_extra=CHANGEABLE
    )
    max_retries: int = Field(
        4, ge=0, description="retries of a call after a temporary failure", json_schema_extra=CHANGEABLE
    )
    replay: str = Field(
        "",
        description="answer from the recorded calls of another run, without an endpoint: its name, folder or llm.jsonl",
        json_schema_extra=CHANGEABLE,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _collect_entries(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Apply the fields of an entry that are given directly."""
        if not isinstance(given, dict):
            return handler(given)
        shared = {name: given[name] for name in given.keys() & ModelEntry.model_fields.keys()}
        own = {name: value for name, value in given.items() if name not in shared}
        entries = own.get("models")
        if isinstance(entries, list | tuple) and entries:
            if shared.pop("model", "") or shared.pop("base_url", ""):
                raise ValueError("expected --llm.models, or --llm.model with --llm.base-url, found both: omit one")
            entries = [{**shared, **entry} if isinstance(entry, dict) else entry for entry in entries]
            return handler({**own, "models": entries})
        if entries or not shared:
            return handler(given)
        # Without a model the other fields are still checked.
        settings = handler({**own, "models": [{**shared, "model": shared.get("model") or _UNNAMED}]})
        return settings if shared.get("model") else settings.model_copy(update={"models": ()})

    @model_validator(mode="after")
    def _have_distinct_names(self) -> Self:
        models = {entry.title: entry.model for entry in self.models}
        for entry in self.models:
            if entry.model != models[entry.title]:
                found = f"{entry.model} and {models[entry.title]}"
                raise ValueError(f"expected one model of the name {entry.title}, found {found}: give each its own name")
        return self

    @model_serializer
    def _flatten_single_entry(self) -> dict[str, Any]:
        fields: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields if name != "models"}
        entries = [entry.model_dump() for entry in self.models]
        return {**entries[0], **fields} if len(entries) == 1 else {"models": entries, **fields}

    @property
    def title(self) -> str:
        """The names of all models, empty without a language model."""
        return ", ".join(dict.fromkeys(entry.title for entry in self.models))


def decisive(entries: Iterable[ModelEntry]) -> list[dict[str, Any]]:
    """The fields of the entries that may not change within a run, because they decide answers; once for each name."""
    changeable = {name for name, field in ModelEntry.model_fields.items() if field.json_schema_extra == CHANGEABLE}
    found: list[dict[str, Any]] = []
    for entry in entries:
        one = {**entry.model_dump(mode="json", exclude=changeable, exclude_defaults=True), "name": entry.title}
        if one not in found:
            found.append(one)
    return found
