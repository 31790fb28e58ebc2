"""Idea files: one design idea per line, as JSON.

    {"text": "…", "target": "performance", "granularity": "operation", "main": "activation", "sub": "gelu",
     "source": {"title": "…", "year": 2016, "link": "https://arxiv.org/abs/1606.08415", "section": ""}}

``sub``, ``source`` and the fields of ``source`` are optional; ``also`` lists further sources. Empty lines are skipped.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fairnad.errors import IdeaFileError
from fairnad.ideas.attribute_tree import AttributeTree, Granularity, Tag, Target
from fairnad.ideas.idea import MAX_IDEA_WORDS, Idea, Source
from fairnad.records.candidate import plain
from store.disk import disk_errors, lock, write_whole

_REQUIRED = ("text", "target", "granularity", "main")
_FIELDS = (*_REQUIRED, "sub", "source", "also")
_SOURCE_FIELDS = ("title", "year", "link", "section")

_KIND_NAMES: Mapping[type, str] = {str: "text", int: "a number", list: "a list"}

Value = TypeVar("Value")


class _Fault(ValueError):
    """A mistake in a line; :func:`read_ideas` adds the place."""


def read_ideas(path: Path, tree: AttributeTree) -> tuple[Idea, ...]:
    """The knowledge ideas of a file, in order.

    Raises:
        IdeaFileError: the file is missing, unreadable or empty, or a line is not an idea, has a tag that is not in
            ``tree``, or repeats an earlier one; the message names the line.
    """
    first_lines: dict[tuple[Tag | None, str], int] = {}
    ideas = []
    for number, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            idea = _read_idea(line, tree)
            first = first_lines.setdefault((idea.tag, " ".join(idea.text.casefold().split())), number)
            if first != number:
                raise _Fault(f"expected a new idea, repeats line {first}")
        except _Fault as fault:
            raise IdeaFileError(f"{path}, line {number}: {fault}") from fault
        ideas.append(idea)
    if not ideas:
        raise IdeaFileError(f"{path}: expected one idea per line, found none")
    return tuple(ideas)


def write_ideas(path: Path, ideas: Iterable[Idea]) -> None:
    """Write knowledge ideas as a file for :func:`read_ideas`.

    Raises:
        ValueError: an idea has no tag.
        StorageError: the disk is full, or the folder cannot be written.
    """
    write_whole(path, [_idea_line(idea) for idea in ideas])


def add_idea(path: Path, idea: Idea, tree: AttributeTree) -> int:
    """Add an idea to a file, which is created if necessary, and return the new number of ideas.

    Raises:
        IdeaFileError: the file already holds the idea, or is malformed.
        ValueError: the idea has no tag.
        StorageError: the disk is full, or the folder cannot be written.
    """
    with disk_errors(path), contextlib.ExitStack() as undo:
        undo.callback(os.close, lock(path.parent, wait=True))
        ideas = read_ideas(path, tree) if path.exists() else ()
        if any(known.idea_id == idea.idea_id for known in ideas):
            raise IdeaFileError(f"{path} already contains this idea")
        write_ideas(path, (*ideas, idea))
    return len(ideas) + 1


def _idea_line(idea: Idea) -> str:
    if idea.tag is None:
        raise ValueError(f"only ideas with a tag can be written, found {idea.text!r}")
    fields = {"text": idea.text, **plain(idea.tag), "source": plain(idea.source)}
    return json.dumps(fields | ({"also": plain(idea.also)} if idea.also else {}), ensure_ascii=False) + "\n"


def _read_lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IdeaFileError(f"{path}: expected an idea file, found {(error.strerror or str(error)).lower()}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise IdeaFileError(f"{path}, line {number}: expected UTF-8, found byte {content[error.start]:#04x}") from error
    return text.split("\n")  # not splitlines: it also splits at characters that JSON allows inside a string


def _read_idea(line: str, tree: AttributeTree) -> Idea:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Fault(f"expected JSON, found {_short(line)} ({error})") from error
    _check_object(fields, "an object", _FIELDS, _REQUIRED)
    texts = {name: _get_typed(fields, name, str, "") for name in (*_REQUIRED, "sub")}
    num_words = len(texts["text"].split())
    if not 1 <= num_words <= MAX_IDEA_WORDS:
        raise _Fault(f"expected text of 1 to {MAX_IDEA_WORDS} words, found {num_words}")
    also = _get_typed(fields, "also", list, [])
    return Idea(
        texts["text"],
        tag=_read_tag(texts, tree),
        source=_read_source(fields.get("source", {})),
        also=tuple(map(_read_source, also)),
    )


def _read_tag(texts: Mapping[str, str], tree: AttributeTree) -> Tag:
    target = Target(_one_of("target", texts["target"], [str(name) for name in Target]))
    granularity = Granularity(_one_of("granularity", texts["granularity"], [str(name) for name in Granularity]))
    categories = {
        c.main: subs for c, subs in tree.categories.items() if (c.target, c.granularity) == (target, granularity)
    }
    main = _one_of("main", texts["main"], list(categories))
    if texts["sub"]:
        _one_of("sub", texts["sub"], categories[main])
    return Tag(target, granularity, main, texts["sub"])


def _read_source(fields: Any) -> Source:
    _check_object(fields, "source to be an object", _SOURCE_FIELDS, ())
    title, link, section = (_get_typed(fields, name, str, "") for name in ("title", "link", "section"))
    year = None if fields.get("year") is None else _get_typed(fields, "year", int, 0)
    return Source(title, year, link, section)


def _check_object(fields: Any, what: str, known: Sequence[str], required: Sequence[str]) -> None:
    if not isinstance(fields, dict):
        raise _Fault(f"expected {what}, found {_short(json.dumps(fields))}")
    for name in fields:
        if name not in known:
            raise _Fault(f"unknown field {name!r}{_nearest(name, known)}")
    for name in required:
        if name not in fields:
            raise _Fault(f"expected a field {name!r}, found only {', '.join(fields) or 'none'}")


def _get_typed(fields: Mapping[str, Any], name: str, kind: type[Value], default: Value) -> Value:
    value = fields.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _Fault(f"expected {name} to be {_KIND_NAMES[kind]}, found {_short(json.dumps(value))}")
    if isinstance(value, str) and not _is_unicode(value):
        raise _Fault(f"expected {name} to be Unicode text, found {_short(json.dumps(value))}")
    return value


def _is_unicode(text: str) -> bool:
    """Whether ``text`` can be written as UTF-8: JSON can escape lone surrogates, which cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _one_of(name: str, found: str, known: Sequence[str]) -> str:
    if found not in known:
        raise _Fault(
            f"expected {name} to be one of {', '.join(known) or 'none'}, found {found!r}{_nearest(found, known)}"
        )
    return found


def _nearest(found: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(found, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
