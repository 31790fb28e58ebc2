"""How a model is told of the JSON object it is to reply with; the same in every domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prompts.pack_files import read_text
from prompts.templates import Messages


def with_json_form(messages: Messages, schema: Mapping[str, Any]) -> Messages:
    """A prompt whose last message also says what the JSON object of the reply is to look like."""
    *before, (role, text) = messages
    return (*before, (role, f"{text.rstrip()}\n\n{_request()}\n\n{outline(schema)}\n"))


def outline(schema: Mapping[str, Any]) -> str:
    """A JSON schema as the object it describes, which models keep to more readily than to the schema itself."""
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " | ".join(_of_kind(kind, schema) for kind in kinds)


def _of_kind(kind: str, schema: Mapping[str, Any]) -> str:
    match kind:
        case "object":
            inner = [f"{json.dumps(name)}: {outline(part)}" for name, part in schema["properties"].items()]
            return "{" + ", ".join(inner) + "}"
        case "array":
            return f"[{outline(schema['items'])}, …]"
        case "string":
            return f'"<{schema.get("description", "text")}>"'
        case "boolean":
            return "true | false"
        case "integer":
            return "<a whole number>"
        case _:
            return kind


@cache
def _request() -> str:
    return read_text(Path(__file__).parent / "json_reply.md").strip()
