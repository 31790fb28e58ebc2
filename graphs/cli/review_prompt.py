"""Review at the terminal: shows each idea or candidate, asks for yes, no or an edit, and resumes the graph."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fairnad.errors import ReviewError
from fairnad.settings.search_settings import RunContext
from graphs.cli.output.progress import Follower
from graphs.cli.output.terminal import make_console

if TYPE_CHECKING:
    from langgraph.types import Command, Interrupt

    from graphs.candidate.review import Decision

_LINE_BYTES = 4096


async def answer(waiting: Sequence[Interrupt], context: RunContext, follower: Follower) -> Command[Any]:
    """Ask at the terminal for every decision the graph waits for.

    Raises:
        ReviewError: stdin is not a terminal, or ends.
    """
    from langgraph.types import Command

    if not sys.stdin.isatty():
        raise ReviewError(
            f"--review {context.review} needs your decision, but stdin is not a terminal; nothing is lost: "
            "run the same command in a terminal, or answer in LangGraph Studio"
        )
    console = make_console(stderr=True)  # stdout belongs to the progress of the search
    with follower.paused():
        return Command(resume={asked.id: await _ask(console, asked.value) for asked in waiting})


async def _ask(console: Console, question: Mapping[str, Any]) -> Decision | dict[str, Decision]:
    if question.get("error"):
        console.print(f"not accepted: {question['error']}", markup=False)
    if question["review"] == "candidate":
        console.print(f"\n{question['candidate_id']}  from {question['parent_id']}", markup=False)
        console.print(f"{question['idea']}\n\n{question['diff']}\n\n{question['costs']}", markup=False)
        return await _decide(console, "train it?", question["source"], ".py")
    decisions: dict[str, Decision] = {}
    for idea in question["ideas"]:
        console.print(f"\n{idea['candidate_id']}  {idea['about']}, {idea['target']}", markup=False)
        console.print(f"  {idea['idea']}", markup=False)
        decisions[idea["candidate_id"]] = await _decide(console, "use it?", idea["idea"], ".txt")
    return decisions


async def _decide(console: Console, question: str, text: str, suffix: str) -> Decision:
    while True:
        console.print(f"{question} [y]es, [n]o, [e]dit: ", end="", markup=False)
        word = (await _read_line()).lower()
        if word in ("y", "yes"):
            return "approve"
        if word in ("n", "no"):
            return "reject"
        if word in ("e", "edit"):
            edited = await _edit(console, text, suffix)
            if edited != text:
                return {"edit": edited}
            console.print("nothing was changed")


async def _read_line() -> str:
    """Read a line from the terminal; Ctrl-C cancels the wait.

    Raises:
        ReviewError: the input has ended.
    """
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
    line = os.read(descriptor, _LINE_BYTES)
    if not line:
        raise ReviewError("stdin ended before you decided; nothing is lost: run the same command again")
    return line.decode(errors="replace").strip()


async def _edit(console: Console, text: str, suffix: str) -> str:
    """Edit the text in the user's editor; unchanged if the editor fails."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="fairnad-review-") as folder:
        file = Path(folder) / f"review{suffix}"
        file.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        try:
            process = await asyncio.create_subprocess_exec(*shlex.split(editor), str(file))
        except (OSError, ValueError) as error:
            console.print(f"the editor {editor} cannot be started ({error}); EDITOR names another")
            return text
        if await process.wait():
            console.print(f"the editor {editor} failed; nothing was changed")
            return text
        return file.read_bytes().decode(errors="replace")
