"""Applies the edits of a reply to a source, in any form a reply may write them. Pure.

The prompts ask for blocks::

    <<<<<<< OLD
    lines as they stand in the file
    =======
    lines that take their place
    >>>>>>> NEW

Other words beside the marks, words without marks, fences around or inside the blocks, a missing last mark, the hunks
of a unified diff, whole classes and a whole file are understood, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agents.replies.edits import Edit, Edited, EditError, NoEditError, apply_edits, class_names, merge_classes
from agents.replies.source_replies import extract_source, strip_reasoning

_WORD = r"[ \t]*(?:#{2,}|\*\*)?[ \t]*"
_OLD = re.compile(rf"[ \t#*]*<{{3,}}[ \t]*\w*\W*|{_WORD}(?:OLD|SEARCH|FIND|ORIGINAL|BEFORE)\b\W*")
_NEW = re.compile(rf"[ \t#*]*={{3,}}[ \t]*(?:\w+)?[ \t]*=*|{_WORD}(?:NEW|REPLACE|REPLACE WITH|AFTER)\b\W*")
_END = re.compile(rf"[ \t#*]*>{{3,}}[ \t]*(?:[A-Za-z]+)?\W*|{_WORD}END\b\W*")
_FENCE = re.compile(r"[ \t]*(?:`{3,}|~{3,})[ \t]*(\w*)[ \t]*")
_HUNK = re.compile(r"@@.*")
_DIFF_HEAD = re.compile(r"(?:--- |\+\+\+ |diff |index ).*")


def edit_by(text: str, source: str) -> Edited:
    """``source`` as a reply edits it; a reply that is a whole file replaces it.

    Raises:
        EditError: the reply contains a change that cannot be applied.
        NoEditError: the reply contains no change.
    """
    text = strip_reasoning(text).replace("\r\n", "\n")
    lines = text.split("\n")
    blocks = _BlockReader(lines).edits or [*_hunks(lines)]
    if not blocks:
        return _apply_code(text, source)
    try:
        return apply_edits(source, blocks)
    except EditError:
        whole = extract_source(text)
        if whole is not None and stands_alone(whole, source) and not any(map(_OLD.fullmatch, whole.split("\n"))):
            return Edited(whole, ("a whole file besides edits that do not apply",))
        raise


def _apply_code(text: str, source: str) -> Edited:
    """Apply a reply without edits: a whole file, or whole classes."""
    code = extract_source(text)
    if code is None:
        raise NoEditError("the reply contains neither edits nor a Python file")
    if stands_alone(code, source):
        return Edited(code, ("a whole file",))
    return merge_classes(source, code)


def stands_alone(code: str, source: str) -> bool:
    """Whether code is a complete file: it has the network, and every class of the source that it uses."""
    names = class_names(code)
    used = set(re.findall(r"\w+", code))
    return "Network" in names and not (class_names(source) - names) & used


class _BlockReader:
    """Reads the marked blocks, in order. ``_part`` is being read; ``_fenced``: inside a fence that the part opened.

    Raises:
        EditError: a block has no mark between old and new.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self.edits: list[Edit] = []
        self._part = ""
        self._lines: dict[str, list[str]] = {}
        self._fenced = False
        for line in lines:
            self._read(line)
        self._close()

    def _read(self, line: str) -> None:
        if _OLD.fullmatch(line):
            self._close()
            self._part, self._lines = "old", {"old": [], "new": []}
        elif self._part == "old" and _NEW.fullmatch(line):
            self._part, self._fenced = "new", False
        elif self._part and (_END.fullmatch(line) or (self._part == "new" and _NEW.fullmatch(line))):
            self._close()
        elif self._part and _FENCE.fullmatch(line):
            self._read_fence(line)
        elif self._part:
            self._lines[self._part].append(line)

    def _read_fence(self, line: str) -> None:
        opens = _FENCE.fullmatch(line)
        is_first = not any(part.strip() for part in self._lines[self._part])
        if self._fenced:
            self._fenced = False
        elif is_first or (opens is not None and opens[1]):
            self._fenced = True
        elif self._part == "new":
            self._close()

    def _close(self) -> None:
        """End the open block."""
        if self._part == "old" and any(line.strip() for line in self._lines["old"]):
            raise EditError(f"edit {len(self.edits) + 1} has no line of ======= between the old lines and the new")
        if self._part == "new":
            self.edits.append(Edit("\n".join(self._lines["old"]), "\n".join(self._lines["new"])))
        self._part, self._fenced = "", False


def _hunks(lines: Sequence[str]) -> Iterator[Edit]:
    """The hunks of a unified diff, with or without headers."""
    hunk: list[str] = []
    inside = False
    for line in [*lines, "```"]:
        fence = _FENCE.fullmatch(line)
        if fence or _HUNK.match(line) or _DIFF_HEAD.match(line):
            if inside and any(part.startswith(("+", "-")) for part in hunk):
                yield _read_hunk(hunk)
            hunk = []
            inside = bool(_HUNK.match(line)) or (fence is not None and fence[1] == "diff") or (inside and not fence)
        else:
            hunk.append(line)


def _read_hunk(lines: Sequence[str]) -> Edit:
    kept = [line for line in lines if line.strip() and not line.startswith(("+", "-"))]
    # Models forget the space before unchanged lines; their indentation is then a multiple of four.
    num_marks = 0 if all((len(line) - len(line.lstrip())) % 4 == 0 for line in kept) else 1
    old = [line[1:] if line.startswith("-") else line[num_marks:] for line in lines if not line.startswith("+")]
    new = [line[1:] if line.startswith("+") else line[num_marks:] for line in lines if not line.startswith("-")]
    return Edit("\n".join(old), "\n".join(new))
