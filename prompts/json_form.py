"""Adds the form of a JSON reply to a prompt; the same in every domain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prompts.pack_files import read_text
from prompts.templates import Messages


def with_json_form(messages: Messages, schema: Mapping[str, Any]) -> Messages:
    """A prompt whose last message also describes the JSON object of the reply."""
    *before, (role, text) = messages
    request = read_text(Path(__file__).parent / "json_reply.md").strip()
    return (*before, (role, f"{text.rstrip()}\n\n{request}\n\n{outline(schema)}\n"))


def outline(schema: Mapping[str, Any]) -> str:
    """A JSON schema as the object it describes, which models follow better than the schema itself."""
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " | ".join(_outline_kind(kind, schema) for kind in kinds)


def _outline_kind(kind: str, schema: Mapping[str, Any]) -> str:
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
