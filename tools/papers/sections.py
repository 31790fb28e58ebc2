"""Finds the method section of a paper by its heading."""

from __future__ import annotations

import re

from fairnad.ideas.knowledge import Passage

_NUMBER = r"(?:(?:[0-9]{1,2}|[IVX]{1,4}|[A-Z])(?:\.[0-9]{1,2})*\.?\s+)?"
_METHOD = (
    r"(?:(?:the\s+|our\s+)?(?:proposed\s+)?(?:method(?:s|ology)?|approach|architecture|model|framework|network)"
    r"|method\s+overview|network\s+architecture|model\s+(?:design|architecture)|architecture\s+design"
    r"|(?:proposed|our)\s+[\w -]{1,40})"
)
_AFTER = (
    r"(?:experiment(?:s|al(?:\s+(?:results|setup|settings|evaluation))?)?|results(?:\s+and\s+\w+)?|evaluations?"
    r"|implementation\s+details|discussions?|conclusions?(?:\s+and\s+[\w ]+)?|related\s+works?|acknowledge?ments?"
    r"|references|bibliography|limitations?|appendix)"
)
_HEADING_MARKS = r"[ \t]*(?:#{1,6}\s*|\*\*)?"
_METHOD_HEADING = re.compile(rf"^{_HEADING_MARKS}{_NUMBER}{_METHOD}\s*[:*]*[ \t]*$", re.MULTILINE | re.IGNORECASE)
_AFTER_HEADING = re.compile(rf"^{_HEADING_MARKS}{_NUMBER}{_AFTER}\s*[:*]*[ \t]*$", re.MULTILINE | re.IGNORECASE)
_INTRODUCTION = re.compile(rf"^{_HEADING_MARKS}{_NUMBER}introduction\s*[:*]*[ \t]*$", re.MULTILINE | re.IGNORECASE)
_REFERENCES = re.compile(rf"^{_HEADING_MARKS}{_NUMBER}(?:references|bibliography)\s*$", re.MULTILINE | re.IGNORECASE)
_LEAST_CHARACTERS = 200
"""Headings with less text are from a table of contents, or part of a sentence."""


def method_passage(text: str, num_characters: int) -> Passage:
    """The method of a paper, at most ``num_characters`` long, cut at the end of a line.

    Without such a heading, ``section`` is empty, and the text is everything between introduction and references.
    """
    for heading in _METHOD_HEADING.finditer(text):
        end = _next_after(text, heading.end())
        body = text[heading.end() : end].strip()
        if len(body) >= _LEAST_CHARACTERS:
            return Passage(" ".join(heading[0].strip(" #*:\t").split()), _cut(body, num_characters))
    start = max((match.end() for match in _INTRODUCTION.finditer(text)), default=0)
    return Passage("", _cut(text[start : _next_after(text, start, _REFERENCES)].strip(), num_characters))


def _next_after(text: str, start: int, heading: re.Pattern[str] = _AFTER_HEADING) -> int:
    found = heading.search(text, start)
    return found.start() if found else len(text)


def _cut(text: str, num_characters: int) -> str:
    if len(text) <= num_characters:
        return text
    return text[:num_characters].rsplit("\n", 1)[0]
