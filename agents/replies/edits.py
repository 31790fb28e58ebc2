"""Edits of a source: old pieces with their replacements, found exactly, or by a safe approximate match. Pure.

A piece is searched line by line: exactly; then without spaces and indentation; then as part of a line; then as the most
similar lines, if they are similar enough and clearly more similar than any others. Its replacement gets the
indentation of the place.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

MIN_LIKENESS = 0.85
"""How similar lines must be to a piece: difflib's ratio of their characters without spaces."""
MIN_LEAD = 0.05
"""How much more similar they must be than any other lines."""

_NETWORK = re.compile(r"class\s+Network\b")
_IMPORT = re.compile(r"(?:import|from)\s+(?!__future__)\w")
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Edit:
    """A piece of a source and its replacement; with an empty ``old``, ``new`` is added."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Edited:
    """A source after its edits; ``remarks`` list irregularities."""

    source: str
    remarks: tuple[str, ...] = ()


class NoEditError(ValueError):
    """A text holds no change of a source; the roles report it as a failure."""


class EditError(NoEditError):
    """An edit cannot be applied; the roles report it as a failure.

    ``closest`` are the lines of the source that are most similar to the piece that was not found.
    """

    def __init__(self, message: str, closest: str = "") -> None:
        super().__init__(message)
        self.closest = closest


def apply_edits(source: str, edits: Sequence[Edit]) -> Edited:
    """``source`` with the edits applied in order, each to the result of the one before.

    New classes go before ``Network``, new imports before the other imports; a class that exists is replaced.

    Raises:
        EditError: a piece is found nowhere, in several places, or where an earlier edit has written.
        NoEditError: the edits together change nothing.
    """
    text = _Text(source)
    remarks = []
    for number, edit in enumerate(edits, start=1):
        if edit.old.strip() and _content(edit.old) == _content(edit.new):
            remarks.append(f"edit {number} changes nothing")
        elif edit.old.strip():
            remarks += text.replace(number, edit)
        elif class_names(edit.new) & class_names(text.source):
            for part in _class_edits(text.source, edit.new):
                remarks += text.replace(number, part) if part.old else text.add(number, part.new)
        elif edit.new.strip():
            text.add(number, edit.new)
    if text.source == source:
        raise NoEditError("the edits change nothing")
    return Edited(text.source, tuple(remarks))


def merge_classes(source: str, code: str) -> Edited:
    """``source`` with the classes of ``code``: those of the same name are replaced, the others added.

    Raises:
        EditError: one of the two does not parse.
        NoEditError: nothing changes.
    """
    return apply_edits(source, _class_edits(source, code))


def _class_edits(source: str, code: str) -> list[Edit]:
    trees = [_parse(text, what) for text, what in ((source, "the network"), (code, "what is added"))]
    present, given = [{node.name: node for node in tree.body if isinstance(node, ast.ClassDef)} for tree in trees]
    lines, new_lines = [
        [ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)] for tree in trees
    ]
    return [
        *(Edit("", line) for line in new_lines if line not in lines),
        *(
            Edit(_class_text(source, present[name]) if name in present else "", _class_text(code, node))
            for name, node in given.items()
        ),
    ]


def class_names(source: str) -> set[str]:
    """The classes that a source defines, by its text: it need not parse."""
    return set(re.findall(r"^class\s+(\w+)", source, re.MULTILINE))


class _Span(NamedTuple):
    """Lines of a source, without ``end``."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.start + 1}" if self.end == self.start + 1 else f"{self.start + 1} to {self.end}"


class _Text:
    """Lines with the number of the edit that wrote each; 0: no edit."""

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self.writers = [0] * len(self.lines)

    @property
    def source(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)

    def replace(self, number: int, edit: Edit) -> list[str]:
        """Apply an edit; returns remarks."""
        old, new = _content(edit.old), _content(edit.new)
        if old == new:
            return []
        span, how = self._find(number, old, new)
        found = self.lines[span.start : span.end]
        if how == "part":
            piece = old[0].strip()
            new = [found[0].replace(piece, " ".join(line.strip() for line in new))]
        else:
            new = _indent_like(found, old, new)
        if writer := max(self.writers[span.start : span.end]):
            raise EditError(f"edit {number} overlaps edit {writer} at line {span}: write the two as one")
        self._write(number, span, new)
        return [f"edit {number} matches similar lines only"] if how == "likeness" else []

    def add(self, number: int, new: str) -> list[str]:
        """Add imports before the others, and the rest before the network."""
        lines = _content(new)
        imports = [line for line in lines if _IMPORT.match(line) and line not in self.lines]
        rest = _content("\n".join(line for line in lines if not _IMPORT.match(line)))
        if imports:
            place = next((i for i, line in enumerate(self.lines) if _IMPORT.match(line)), 0)
            self._write(number, _Span(place, place), imports)
        if rest:
            place = self._before_network()
            self._write(number, _Span(place, place), [*rest, "", ""])
        return []

    def _before_network(self) -> int:
        place = next((i for i, line in enumerate(self.lines) if _NETWORK.match(line)), len(self.lines))
        while place and self.lines[place - 1].startswith(("@", "#")):
            place -= 1
        return place

    def _write(self, number: int, span: _Span, new: Sequence[str]) -> None:
        """Replace lines; those that stay the same keep their writer."""
        old = self.lines[span.start : span.end]
        writers = [number] * len(new)
        for match in SequenceMatcher(None, old, list(new), autojunk=False).get_matching_blocks():
            kept = self.writers[span.start + match.a : span.start + match.a + match.size]
            writers[match.b : match.b + match.size] = kept
        self.lines[span.start : span.end] = new
        self.writers[span.start : span.end] = writers

    def _find(self, number: int, old: Sequence[str], new: Sequence[str]) -> tuple[_Span, str]:
        """The position of a piece, and how it was found: ``exact``, ``loose``, ``part`` or ``likeness``."""
        for how, found in (("exact", self._exact(old)), ("loose", self._loose(old)), ("part", self._part(old, new))):
            if len(found) > 1:
                places = " and ".join(str(span) for span in found)
                raise EditError(f"edit {number} matches several places, lines {places}: add the lines around it")
            if found:
                return found[0], how
        return self._most_similar(number, old), "likeness"

    def _exact(self, old: Sequence[str]) -> list[_Span]:
        lines = [line.rstrip() for line in self.lines]
        starts = range(len(lines) - len(old) + 1)
        return [_Span(i, i + len(old)) for i in starts if lines[i : i + len(old)] == list(old)]

    def _loose(self, old: Sequence[str]) -> list[_Span]:
        wanted = [_squeeze(line) for line in old if line.strip()]
        return [span for span in self._windows(len(wanted)) if self._squeeze(span) == wanted]

    def _part(self, old: Sequence[str], new: Sequence[str]) -> list[_Span]:
        """The lines that contain a one-line piece, repeated for each occurrence."""
        if len(old) > 1 or len(new) > 1:
            return []
        piece = old[0].strip()
        return [_Span(i, i + 1) for i, line in enumerate(self.lines) for _ in range(line.count(piece))]

    def _windows(self, num_lines: int) -> list[_Span]:
        """Every run of lines with that many non-empty lines."""
        filled = [i for i, line in enumerate(self.lines) if line.strip()]
        return [_Span(filled[i], filled[i + num_lines - 1] + 1) for i in range(len(filled) - num_lines + 1)]

    def _squeeze(self, span: _Span) -> list[str]:
        return [_squeeze(line) for line in self.lines[span.start : span.end] if line.strip()]

    def _most_similar(self, number: int, old: Sequence[str]) -> _Span:
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2("\n".join(_squeeze(line) for line in old if line.strip()))
        scored = []
        for span in self._windows(sum(bool(line.strip()) for line in old)):
            matcher.set_seq1("\n".join(self._squeeze(span)))
            if matcher.quick_ratio() > MIN_LIKENESS / 2:
                scored.append((matcher.ratio(), -span.start, span))
        best = max(scored, default=None)
        if best is None or best[0] < MIN_LIKENESS:
            closest = self._number_lines(best[2]) if best else ""
            raise EditError(f"edit {number}, which begins with {_quote(old)}, is not in the file", closest)
        others = [score for score, _, span in scored if span.end <= best[2].start or span.start >= best[2].end]
        if best[0] - max(others, default=0.0) < MIN_LEAD:
            message = f"edit {number}, which begins with {_quote(old)}, matches several places equally"
            raise EditError(f"{message}: copy the lines", self._number_lines(best[2]))
        return best[2]

    def _number_lines(self, span: _Span) -> str:
        return "\n".join(f"{i + 1}: {self.lines[i]}" for i in range(span.start, span.end))


def _content(text: str) -> list[str]:
    """The lines of a piece without blanks at their ends, and without empty lines around them."""
    lines = [line.expandtabs(4).rstrip() for line in text.split("\n")]
    filled = [i for i, line in enumerate(lines) if line]
    return lines[filled[0] : filled[-1] + 1] if filled else []


def _squeeze(line: str) -> str:
    return re.sub(r"\s+", "", line)


def _quote(old: Sequence[str]) -> str:
    return repr(old[0].strip()[:_SHOWN_CHARACTERS])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indent_like(found: Sequence[str], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """``new`` at the indentation of the lines that were found for ``old``."""
    pairs = zip((line for line in old if line), (line for line in found if line.strip()), strict=True)
    known = {}
    shift: int | None = None
    for written, standing in pairs:
        if shift is None:
            shift = _indent(standing) - _indent(written)
        if _squeeze(written) == _squeeze(standing):
            known[written] = standing
    fitted = []
    moved = shift or 0
    for line in new:
        if line in known:
            moved = _indent(known[line]) - _indent(line)
            fitted.append(known[line])
        else:
            fitted.append(" " * max(0, _indent(line) + moved) + line.lstrip() if line else "")
    return fitted


def _parse(text: str, what: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise EditError(f"{what} does not parse, so its classes cannot be replaced: {error}") from error


def _class_text(source: str, node: ast.ClassDef) -> str:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "\n".join(source.split("\n")[first - 1 : node.end_lineno])
