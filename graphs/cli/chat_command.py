"""``python -m graphs.chat``: answers questions about ideas and a run.

With ``--json`` it prints one object per question: ``question``, ``answer``, ``cited`` (ids in the order of the answer),
``ideas`` and ``candidates`` (the cited ids by kind), ``understood`` (the query made from the question), ``notes``
(problems) and ``answered_by`` (the language model, or ``built-in``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fairnad.errors import FairnadError
from fairnad.formatting import printable
from fairnad.ports import BUILT_IN
from fairnad.records.candidate import is_candidate_id
from fairnad.settings.casting import name_players
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Parser
from graphs.cli.exit_status import report_errors
from graphs.cli.output.terminal import print_json
from graphs.cli.settings_parser import add_settings, read_settings
from graphs.runtime.replay import refuse_replay

if TYPE_CHECKING:
    from graphs.chat.conversation import Conversation

PROGRAM = "python -m graphs.chat"
_COMMON = {
    "run and ideas": ("run", "runs", "ideas", "pack"),
    "language model": ("llm.model", "llm.base_url", "agents.players"),
    "embedding model": ("embedding.model", "embedding.base_url"),
}
_PROMPT = "> "
_GOODBYE = {"exit", "quit", ":q"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the question on the command line, or else each line of stdin.

    Returns:
        0: done. 1: the endpoint does not answer. 2: a mistake in the settings. 130: Ctrl-C.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return report_errors(lambda: _chat(given))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def _chat(given: Sequence[str]) -> int:
    options, context = _parse(given)
    question = " ".join(options.question).strip()
    refuse_replay(context.llm)
    name_players(context, ("librarian",))  # reports a mistake in the settings before anything is opened
    from graphs.chat.conversation import Conversation

    with asyncio.Runner() as runner:
        conversation = runner.run(Conversation(context, options.thread).__aenter__())
        try:
            if question:
                runner.run(_answer(conversation, question, is_json=options.json))
                return 0
            return _converse(runner, conversation, context, is_json=options.json)
        finally:
            runner.run(conversation.__aexit__())


def _parse(given: Sequence[str]) -> tuple[argparse.Namespace, RunContext]:
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [QUESTION] [FLAGS]",
        description="Answers questions about design ideas and runs. Without QUESTION, type your questions.\n"
        "It writes nothing except the conversation of a named thread.",
    )
    parser.add_argument("question", nargs="*", metavar="QUESTION", help="question in plain words, quoted")
    parser.add_argument("--thread", metavar="NAME", default="", help="conversation to start or to continue")
    parser.add_argument("--json", action="store_true", help="print only one JSON object per answer")
    add_settings(parser, RunContext, _COMMON)
    options = parser.parse_args(list(given))
    return options, read_settings(options, parser, RunContext)


def _converse(runner: asyncio.Runner, conversation: Conversation, context: RunContext, *, is_json: bool) -> int:
    """Answer each line of stdin; the conversation continues after an error."""
    if not is_json:
        print(_introduction(context), file=sys.stderr)
    for question in _questions():
        try:
            runner.run(_answer(conversation, question, is_json=is_json))
        except FairnadError as error:
            print(f"error: {error}", file=sys.stderr)
    return 0


def _questions() -> Iterator[str]:
    is_typed = sys.stdin.isatty()
    if is_typed:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # input() then knows the arrow keys
    while True:
        try:
            line = input(_PROMPT if is_typed else "").strip()
        except EOFError:
            if is_typed:
                print()
            return
        if line in _GOODBYE:
            return
        if line:
            yield line


def _introduction(context: RunContext) -> str:
    player = name_players(context, ("librarian",))["librarian"]
    librarian = player if player != BUILT_IN else "built in, no language model (--llm.model sets one)"
    return f"librarian: {librarian}; ask about ideas, categories, candidates, lineages and differences; exit ends"


async def _answer(conversation: Conversation, question: str, *, is_json: bool) -> None:
    if is_json:
        print_json(_plain(await conversation.ask(question)))
        return
    state = await conversation.ask(question, lambda text: print(printable(text), end="", flush=True))
    print()
    for note in state["notes"]:
        print(printable(f"note: {note}"))


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    names = ("question", "answer", "cited", "understood", "notes", "answered_by")
    candidates = [one for one in state["cited"] if is_candidate_id(one)]
    return {
        **{name: state[name] for name in names},
        "ideas": [one for one in state["cited"] if one not in candidates],
        "candidates": candidates,
    }
