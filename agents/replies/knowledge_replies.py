"""Reads attributes, verdicts and ideas from replies. Pure; no text raises an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from agents.replies.source_replies import json_objects, strip_reasoning
from fairnad.ideas.knowledge import Attribute

_RESPONSE = re.compile(r"[#*]{2}\s*response\s*[#*]{2}[\s:]*(?P<answer>[^\n]*)", re.IGNORECASE)
_NO = re.compile(r"\W*no\b(?!\w)", re.IGNORECASE)
_LINE_MARK = re.compile(r"^\s*(?:[-*•+]|\(?\d+[.):])\s+")
_TARGETS = ("performance", "efficiency")


def extract_attributes(text: str) -> tuple[Attribute, ...] | None:
    """The attributes in the JSON objects of a reply, ``None`` without any object.

    One object with both targets is expected; two objects, each below the name of its target, are understood, too.
    """
    found = list(json_objects(text))
    attributes: list[Attribute] = []
    for before, content in found:
        if any(_plain(key) in _TARGETS for key in content):
            levels = [(_plain(key), value) for key, value in content.items()]
        else:
            levels = [(max(_TARGETS, key=before.lower().rfind), content)]
        attributes += [attribute for target, value in levels for attribute in _attributes(target, value)]
    return tuple(attributes) if found else None


def extract_category(text: str, *, is_named: bool = True) -> str | None:
    """The category path that a reply names; empty for a no, ``None`` without an answer.

    The answer is the last JSON object with ``keep``, else the text after the last ``##response##``. If categories are
    not named, a yes is returned as it is.
    """
    for _, content in reversed(list(json_objects(text))):
        if isinstance(content.get("keep"), bool):
            if not is_named:
                return "yes" if content["keep"] else ""
            category = content.get("category") if content["keep"] else ""
            return category.strip() if isinstance(category, str) else None
    found = list(_RESPONSE.finditer(strip_reasoning(text)))
    if not found:
        return None
    answer = found[-1]["answer"].strip(" \t*`#")
    if _NO.fullmatch(answer) or re.match(r"no\s*[.,;:(-]", answer, re.IGNORECASE):
        return ""
    is_answer = is_named or re.match(r"yes\b", answer, re.IGNORECASE)
    return answer or None if is_answer else None


def extract_idea_lines(text: str) -> list[tuple[str, str]]:
    """The (idea, path) of every line or JSON object with an idea; the path may be empty."""
    objects = [content for _, content in json_objects(text, nested=True) if isinstance(content.get("idea"), str)]
    if objects:
        pairs = [(" ".join(one["idea"].split()), one.get("category")) for one in objects]
        return [(idea, path.strip() if isinstance(path, str) else "") for idea, path in pairs if idea]
    lines = []
    for line in strip_reasoning(text).split("\n"):
        if not _LINE_MARK.match(line):
            continue
        idea, _, path = _LINE_MARK.sub("", line).strip().partition("|")
        idea = " ".join(re.sub(r"[*`#_]+", " ", idea).split())
        if idea:
            lines.append((idea, path.strip()))
    return lines


def _attributes(target: str, levels: Any) -> Iterator[Attribute]:
    if not isinstance(levels, dict):
        return
    for granularity, mains in levels.items():
        for main, names in mains.items() if isinstance(mains, dict) else ():
            for name in names if isinstance(names, list) else [names]:
                if isinstance(name, str) and name.strip():
                    yield Attribute(target, _plain(granularity), _plain(main), name)


def _plain(key: str) -> str:
    return " ".join(re.sub(r"[*_#`]+", " ", key).lower().split())
