"""The JSON schemas of replies that are data, in the strict form that endpoints accept: every property is required.

The parsers also understand the form that a pack's prompt asks for, so that an endpoint without schemas and another pack
work the same. The reason comes first: a model decides after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairnad.ideas.attribute_tree import Granularity, Target
from fairnad.ideas.conversation import Preference, Topic

Schema = Mapping[str, Any]
"""A JSON schema."""


def _record(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _one_of(names: Iterable[str]) -> Schema:
    return {"type": ["string", "null"], "enum": [*map(str, names), None]}


_YES_NO: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": ["integer", "null"]}
_PATH = "target / level / main category / sub-category"

VERDICT = _record(reason=_text("why, in a few words"), changed=_YES_NO, multi_layer=_YES_NO)
"""The structural judge's verdict."""

PAPER_VERDICT = _record(reason=_text("why, in a few words"), keep=_YES_NO, category=_text(f"{_PATH}, or empty"))
"""The paper reader's verdict on a paper."""

UNTAGGED_VERDICT = _record(reason=_text("why, in a few words"), keep=_YES_NO)
"""The paper reader's verdict if it does not know the tree."""

IDEAS = _record(ideas=_list(_record(idea=_text("the idea in a sentence"), category=_text(_PATH))))
"""The paper reader's ideas with their tags."""

UNTAGGED_IDEAS = _record(ideas=_list(_record(idea=_text("the idea in a sentence"))))
"""The paper reader's ideas if it does not know the tree."""

UNDERSTANDING = _record(
    topic={"type": "string", "enum": [str(topic) for topic in Topic]},
    text=_text("words to search by, or empty"),
    categories=_list(_text("name of a category")),
    without=_list(_text("name of a category that is not wanted")),
    target=_one_of(Target),
    granularity=_one_of(Granularity),
    since=_NUMBER,
    until=_NUMBER,
    preference=_one_of(Preference),
    candidates=_list(_text("a candidate as it is named")),
    ideas=_list(_text("id of an idea")),
    limit=_NUMBER,
)
"""The librarian's query."""


def attributes(outline: Mapping[str, Mapping[str, Iterable[str]]]) -> Schema:
    """The attribute structurer's reply: a list of attributes for each category.

    Args:
        outline: the main categories, by target and level.
    """
    names = _list(_text("attribute"))
    return _record(
        **{
            target: _record(**{level: _record(**dict.fromkeys(mains, names)) for level, mains in levels.items()})
            for target, levels in outline.items()
        }
    )
