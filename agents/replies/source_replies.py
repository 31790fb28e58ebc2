"""Reads source, verdicts and ideas from replies. Pure; no text raises an error."""

from __future__ import annotations

import ast
import json
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import MAX_IDEA_WORDS, Idea, IdeaKind
from fairnad.ideas.tagging import find_tag
from fairnad.ports import Verdict

_REASONING = r"(?:think|thinking|thought|reasoning)"
_CLOSED_REASONING = re.compile(rf"<({_REASONING})>.*?</\1>", re.DOTALL | re.IGNORECASE)
_REASONING_END = re.compile(rf"</{_REASONING}>", re.IGNORECASE)
_REASONING_START = re.compile(rf"<{_REASONING}>", re.IGNORECASE)

_FENCE = re.compile(r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^`~\s]*)[^`~]*$")
_FENCED = re.compile(r"^[ \t]*(`{3,}|~{3,}).*?(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_TRAILING_COMMA = re.compile(r",\s*(?=[}\]])")
_MARKS = " \t*_`'\"“”"
_CODE_START = re.compile(r"^(?:import\s+\w|from\s+[\w.]+\s+import\b|class\s+\w+.*:\s*$)", re.MULTILINE)
_CLASS = re.compile(r"^[ \t]*class\s+\w+.*:", re.MULTILINE)
_NETWORK = re.compile(r"^[ \t]*class\s+Network\b", re.MULTILINE)

_SHORTEST_OVERLAP = 12
"""Characters: a shorter repetition may be part of the code."""
_LONGEST_OVERLAP = 2000
_LOOP = 120
"""Characters that a looping model repeats; no network repeats this many characters ``_MOST_REPEATS`` times."""
_MOST_REPEATS = 3
_MOST_PROSE_LINES = 100
_LIKE_A_PLACE = 0.5
"""The share of common words from which one place counts as the other."""

_ANSWER = r"[^\w\n]+(?P<answer>yes|no)\b[^\w\n]*(?P<reason>[^\n]*)"
_CHANGED = re.compile(rf"^[^\w\n]*changed{_ANSWER}", re.MULTILINE | re.IGNORECASE)
_MULTI_LAYER = re.compile(rf"^[^\w\n]*multi[ -]?layer{_ANSWER}", re.MULTILINE | re.IGNORECASE)
_RESPONSE = re.compile(r"[#*]{2}\s*response\s*[#*]{2}\W*(?P<answer>yes|no)\b", re.IGNORECASE)


def strip_reasoning(text: str) -> str:
    """``text`` without the reasoning in tags such as ``<think>``.

    A tag that was never opened (chat templates may open it in the prompt) ends reasoning that began with the text. A
    tag that was never closed begins reasoning that was cut off.
    """
    answer = _REASONING_END.split(_CLOSED_REASONING.sub("", text))[-1]
    answer = _REASONING_START.split(answer, maxsplit=1)[0]
    return text if answer == text else re.sub(r"\A\s*\n", "", answer)


def json_objects(text: str, *, nested: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """The (text before it, content) of each JSON object in a reply; trailing commas are allowed.

    Args:
        nested: include objects inside others.
    """
    decoder = json.JSONDecoder()
    text = _TRAILING_COMMA.sub("", strip_reasoning(text))
    end = 0
    for match in re.finditer(r"\{", text):
        if match.start() < end and not nested:
            continue
        try:
            content, end = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if content:
            yield text[: match.start()], content


def join_replies(first: str, rest: str) -> str:
    """A reply that was cut off, with its continuation, without what the continuation repeats."""
    if any(not block.closed for block in _blocks(first)):
        rest = _without_reopened_fence(rest)
    last_line = first[first.rfind("\n") + 1 :]
    for length in range(min(len(first), len(rest), _LONGEST_OVERLAP), 2, -1):
        repeats_the_line = length >= len(last_line) > 0
        if first.endswith(rest[:length]) and (repeats_the_line or len(rest[:length].strip()) >= _SHORTEST_OVERLAP):
            return first + rest[length:]
    return first + rest


def repeats_itself(text: str) -> bool:
    """Whether the end of a reply occurs in it several times: the model is in a loop."""
    end = text.rstrip()[-_LOOP:]
    return len(end) == _LOOP and text.count(end) >= _MOST_REPEATS


def extract_source(text: str) -> str | None:
    """The Python file in a reply, ``None`` without a class.

    Among several code blocks, the last complete one is used: it defines ``Network``, parses, and has imports. A file
    that is not complete is returned, too: the debugger gets it.
    """
    text = _clean(text)
    blocks = _blocks(text)
    if not any(_NETWORK.search(block.code) for block in blocks):
        blocks.append(_Block(_from_first_code_line(text), closed=False))
    sources = [_tidy(block) for block in blocks if _CLASS.search(block.code)]
    if not sources:
        return None
    return max(enumerate(sources), key=lambda item: (*_completeness(item[1]), item[0]))[1]


def extract_module(text: str) -> str | None:
    """The code of a single module in a reply, ``None`` without a class.

    Among several code blocks, the first that parses is used: the others usually show how to use it.
    """
    sources = [_tidy(block) for block in _blocks(_clean(text)) if _CLASS.search(block.code)]
    return next((source for source in sources if parse(source) is not None), None) or extract_source(text)


def extract_place(text: str, places: Sequence[str]) -> int | None:
    """The index of the place that a reply names on a line ``Place: …``; ``None`` without one.

    Args:
        places: the description of each, which the line may repeat instead of a number. Numbers in a reply count from 1.
    """
    line = _find_label("place", _FENCED.sub("", strip_reasoning(text)))
    if (number := re.search(r"\d+", re.sub(r"`[^`]*`|[A-Za-z_]\w*", "", line))) and 1 <= int(number[0]) <= len(places):
        return int(number[0]) - 1
    words = _words(line)
    scores = [len(words & _words(place)) / len(words | _words(place)) if words else 0.0 for place in places]
    best = max(scores, default=0.0)
    return scores.index(best) if best >= _LIKE_A_PLACE and scores.count(best) == 1 else None


def extract_verdict(text: str) -> Verdict | None:
    """The structural judge's verdict, ``None`` if the reply has none or contradicts itself.

    A missing criterion follows from the final answer: yes means both; a no without any criterion means an unchanged
    architecture. A JSON object with both criteria overrides all lines.
    """
    for _, content in json_objects(text):
        criteria = content.get("changed"), content.get("multi_layer")
        if isinstance(criteria[0], bool) and isinstance(criteria[1], bool):
            return Verdict(criteria[0], criteria[1], " ".join(str(content.get("reason") or "").split()))
    text = strip_reasoning(text)
    matches = [_last(form, text) for form in (_CHANGED, _MULTI_LAYER)]
    given = [None if match is None else _is_yes(match) for match in matches]
    response = _last(_RESPONSE, text)
    if response is None and None in given:
        return None
    final = all(given) if response is None else _is_yes(response)
    answers = [final or False in given if answer is None else answer for answer in given]
    if given == [None, None]:
        answers = [final, True]
    if all(answers) != final:
        return None
    reasons = [" ".join(match["reason"].split()) for match in matches if match is not None and _is_yes(match) is final]
    return Verdict(changed=answers[0], multi_layer=answers[1], reason="; ".join(filter(None, reasons)))


def extract_idea(text: str, tree: AttributeTree | None = None) -> Idea | None:
    """The idea that a reply names on a line ``Idea: …``, cut to fewer than 50 words; ``None`` without one.

    Args:
        tree: gives the tag for the path on a line ``Category: …``.
    """
    prose = _FENCED.sub("", strip_reasoning(text))
    words = _find_label("idea", prose).split()[:MAX_IDEA_WORDS]
    if not words:
        return None
    found = None if tree is None else find_tag(_find_label("category", prose), tree)
    return Idea(" ".join(words), IdeaKind.MUTATED, None if found is None else found.tag)


def _clean(text: str) -> str:
    return strip_reasoning(text).replace("\r\n", "\n").removeprefix("\ufeff")


class _Block(NamedTuple):
    code: str
    closed: bool


def _blocks(text: str) -> list[_Block]:
    """The fenced code blocks of a text, dedented; the last one may be unclosed."""
    blocks = []
    fence, lines = "", list[str]()
    for line in text.split("\n"):
        mark = _FENCE.search(line)
        before = line[: mark.start()] if mark else line
        if not fence:
            if mark and (not before.strip() or mark["language"].lower().startswith("py")):
                fence, lines = mark["fence"], []
        elif mark and mark["fence"].startswith(fence) and not (mark["language"] and before.strip()):
            # Models close a block on its last line of code, and forget to close one before the next.
            blocks.append(_Block(textwrap.dedent("\n".join([*lines, before])), closed=True))
            fence, lines = (mark["fence"] if mark["language"] else ""), []
        else:
            lines.append(line)
    if fence:
        blocks.append(_Block(textwrap.dedent("\n".join(lines)), closed=False))
    return blocks


def _from_first_code_line(text: str) -> str:
    start = _CODE_START.search(text)
    return text[start.start() :] if start else ""


def _tidy(block: _Block) -> str:
    """The code of a block; prose after the code of an unclosed block is cut off, indented lines never."""
    lines = block.code.strip("\n").rstrip().split("\n")
    whole = "\n".join(lines) + "\n"
    if block.closed or parse(whole) is not None:
        return whole
    for end in range(len(lines) - 1, max(0, len(lines) - _MOST_PROSE_LINES), -1):
        if lines[end].startswith((" ", "\t")):
            break
        shorter = "\n".join(lines[:end]).rstrip() + "\n"
        if lines[end] and parse(shorter) is not None:
            return shorter
    return whole


def _completeness(source: str) -> tuple[bool, bool, bool]:
    tree = parse(source)
    imports = tree is not None and any(isinstance(node, ast.Import | ast.ImportFrom) for node in tree.body)
    return _NETWORK.search(source) is not None, tree is not None, imports


def parse(source: str) -> ast.Module | None:
    """The syntax tree of a source, ``None`` if it is no Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape in generated code does not concern the user
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _without_reopened_fence(rest: str) -> str:
    """A continuation of an open code block, without the fence that opens it again and the text before the fence."""
    lines = rest.split("\n")
    fences = [(i, mark) for i, line in enumerate(lines) if (mark := _FENCE.search(line))]
    if not fences:
        return rest
    first, mark = fences[0]
    at_the_top = not any(line.strip() for line in lines[:first])
    if mark["language"] or (at_the_top and len(fences) > 1):
        return "\n".join(lines[first + 1 :])
    return rest


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    return max(pattern.finditer(text), key=lambda match: match.start(), default=None)


def _is_yes(match: re.Match[str]) -> bool:
    return match["answer"].lower() == "yes"


def _find_label(label: str, prose: str) -> str:
    """The text after the last ``label:``, on the same line or the next, without Markdown marks."""
    lines = [line.strip() for line in prose.split("\n") if line.strip()]
    form = re.compile(rf"[\W\d_]*{label}[^\w:]*:(?P<value>.*)", re.IGNORECASE)
    for number, line in reversed(list(enumerate(lines))):
        if match := form.match(line):
            following = lines[number + 1] if number + 1 < len(lines) else ""
            return (match["value"].strip(_MARKS) or following).strip(_MARKS)
    return ""


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
