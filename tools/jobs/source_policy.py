"""The source policy, enforced before a source runs: first its text, then its syntax.

It refuses mistakes and known tricks, with messages that help the debugger: rule, line, and what to do instead. It is
not a security boundary.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from types import ModuleType

from fairnad.records.candidate import FailureKind
from tools.jobs.network_source import CANDIDATE_GLOBALS, MODULE_NAME, SourceError
from tools.jobs.syntax_policy import Violation, attribute_advice, violations

MAX_SOURCE_BYTES = 65536
_CODING_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=]")
_DIRECTION_MARKS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_MAX_LISTED = 8
_NOT_CODE = (tokenize.STRING, tokenize.COMMENT)


def enforce(source: str) -> None:
    """Refuse a source that violates a rule; syntax errors are left to the compiler.

    Raises:
        SourceError: of kind ``policy``; the message names the first violation, the details all.
    """
    found = list(_text_violations(source))
    if not found:
        try:
            found = violations(ast.parse(source))
        except (SyntaxError, ValueError):
            return
        except (MemoryError, RecursionError) as error:
            raise SourceError(FailureKind.SYNTAX, "the source is nested too deeply") from error
    if found:
        raise SourceError(FailureKind.POLICY, _message(found), _details(source, found))


def guard_getattr() -> None:
    """Check attribute names that sources compute, by a ``getattr`` of their own."""
    CANDIDATE_GLOBALS["getattr"] = _checked_getattr


def _checked_getattr(owner: object, name: str, *default: object) -> object:
    # The exact type: a subclass of str could compare as another name.
    if type(name) is str:
        of_module = isinstance(owner, ModuleType) or (isinstance(owner, type) and owner.__module__ != MODULE_NAME)
        if instead := attribute_advice(name, of_module=of_module):
            raise SourceError(FailureKind.POLICY, f"rule 'attributes': {name}: {instead}")
    elif isinstance(name, str):
        raise SourceError(FailureKind.POLICY, "rule 'calls': getattr with a subclass of str: use a plain str")
    return getattr(owner, name, *default)


def _text_violations(source: str) -> Iterator[Violation]:
    """Find text that a reader and the compiler may read differently."""
    num_bytes = len(source.encode("utf-8", "surrogatepass"))
    if num_bytes > MAX_SOURCE_BYTES:
        yield Violation(1, "size", f"the source has {num_bytes} bytes, {MAX_SOURCE_BYTES} are allowed", "shorten it")
        return
    if "\0" in source:
        yield Violation(source[: source.index("\0")].count("\n") + 1, "text", "a NUL character", "remove it")
        return
    for number, line in enumerate(source.splitlines()[:2], 1):
        if _CODING_COOKIE.match(line):
            yield Violation(number, "encoding", "the source declares an encoding", "remove the line: it is UTF-8")
    if source.isascii():
        return
    for number, line in enumerate(source.split("\n"), 1):
        if _DIRECTION_MARKS.search(line):
            yield Violation(number, "text", "a character that reverses the writing direction", "remove it")
    yield from _non_ascii_code(source)


def _non_ascii_code(source: str) -> Iterator[Violation]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return
    for token in tokens:
        is_text = token.type in _NOT_CODE or tokenize.tok_name[token.type].startswith("FSTRING")
        if not is_text and not token.string.isascii():
            what = f"the name {token.string[:20]!a} is not ASCII"
            yield Violation(token.start[0], "text", what, "outside of strings and comments write a to z")
            return


def _message(found: Sequence[Violation]) -> str:
    first = found[0]
    more = f"; {len(found) - 1} more" if len(found) > 1 else ""
    return f"rule {first.rule!r}: {first.what}: {first.instead} (line {first.line}){more}"


def _details(source: str, found: Sequence[Violation]) -> str:
    lines = source.split("\n")
    return "\n".join(
        f"  line {one.line}: {one.what}: {one.instead}\n    {lines[one.line - 1].strip()[:200]}"
        for one in found[:_MAX_LISTED]
    )
