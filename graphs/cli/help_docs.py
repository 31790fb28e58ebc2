"""``python -m graphs.cli.help_docs``: writes ``docs/cli.md``, the help texts of all public commands."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from graphs.cli import chat_command, knowledge_command, search_command
from graphs.cli.arguments import PROGRAM

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_WIDTH = "100"
_INTRODUCTION = """# Command line

`python -m graphs.cli.help_docs` writes this page from the help texts of the commands.
"""
Main = Callable[[Sequence[str]], int]


def format_page() -> str:
    """The page."""
    blocks = [f"## {command}\n\n```text\n{text}```\n" for command, text in _collect_help()]
    return "\n".join([_INTRODUCTION, *blocks])


def _collect_help() -> Iterator[tuple[str, str]]:
    search, knowledge, chat = search_command, knowledge_command, chat_command
    yield PROGRAM, _read_help(search.main, "--help")
    for name in search.COMMANDS:
        yield f"{PROGRAM} {name}", _read_help(search.main, name, "--help")
    yield knowledge.PROGRAM, _read_help(knowledge.main, "--help")
    for name in knowledge.COMMANDS:
        yield f"{knowledge.PROGRAM} {name}", _read_help(knowledge.main, name, "--help")
    yield chat.PROGRAM, _read_help(chat.main, "--help")
    yield f"{PROGRAM} --help-all", _read_help(search.main, "--help-all")


def _read_help(main: Main, *arguments: str) -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            main(list(arguments))
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(format_page(), encoding="utf-8")
    print(f"wrote {PAGE}")
