"""The chat with a language model: tokens as they arrive, citations checked, an endpoint that goes away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from graphs.chat.conversation import Conversation
from graphs.cli.chat_command import main
from graphs.cli.search_command import parse
from tests.graphs.conftest import BASE, BEST
from tests.openai_server import Reply, Request, ScriptedServer, prompt_of

QUERY = json.dumps({"topic": "best"})
ANSWER = f"The best is [{BEST}], not [g07-fair-r1-s00-d0]; it gained over its parent " + "and so on " * 30 + "at last."


def scripted(answer: Reply):
    def reply(request: Request) -> Reply:
        return Reply(QUERY) if "You turn a question into a query" in prompt_of(request) else answer

    return reply


def flags(server: ScriptedServer, runs: Path) -> list[str]:
    return ["--runs", str(runs), "--llm.model", "qwen", "--llm.base-url", server.url, "--llm.max-retries", "1"]


def test_an_answer_is_the_models_with_checked_citations(run_folder, runs, capsys):
    with ScriptedServer(scripted(Reply(ANSWER))) as server:
        assert main(["who is best?", "--json", *flags(server, runs)]) == 0
        assert server.num_requests == 2
    told = json.loads(capsys.readouterr().out)
    assert told["answer"].startswith(f"The best is [{BEST}], not; it gained")
    assert (told["cited"], told["answered_by"]) == ([BEST], "qwen")
    assert told["notes"] == ["removed from the answer because they are not among the findings: g07-fair-r1-s00-d0"]
    with ScriptedServer(scripted(Reply(ANSWER))) as server:
        assert main(["who is best?", *flags(server, runs)]) == 0
    assert capsys.readouterr().out == f"{told['answer']}\nnote: {told['notes'][0]}\n"


def heard(runs: Path, server: ScriptedServer) -> tuple[list[str], str]:
    """(the pieces that were shown, the answer that was kept)."""
    pieces: list[str] = []

    async def ask() -> str:
        async with Conversation(parse(flags(server, runs))) as conversation:
            return str((await conversation.ask("who is best?", pieces.append))["answer"])

    answer = asyncio.run(ask())
    return [piece for piece in pieces if piece], answer


def test_tokens_are_shown_as_they_arrive_and_never_an_id_that_was_not_found(run_folder, runs):
    with ScriptedServer(scripted(Reply(ANSWER))) as server:
        pieces, answer = heard(runs, server)
    assert len(pieces) > 3
    assert "".join(pieces) == answer
    assert all("g07" not in piece for piece in pieces)


def test_thoughts_are_not_shown(run_folder, runs):
    with ScriptedServer(scripted(Reply(f"<think>{'hm ' * 60}</think>The best is [{BEST}]."))) as server:
        pieces, answer = heard(runs, server)
    assert "".join(pieces) == answer == f"The best is [{BEST}]."


def test_an_answer_that_breaks_off_is_begun_anew(run_folder, runs):
    broken = iter([Reply.cut("The best so far is surely this one: " * 4)])

    def reply(request: Request) -> Reply:
        return scripted(next(broken, Reply(ANSWER)) if "Evidence:" in prompt_of(request) else Reply(""))(request)

    with ScriptedServer(reply) as server:
        pieces, answer = heard(runs, server)
    assert "".join(pieces).startswith("The best so far")
    assert "".join(pieces).endswith(f" …\n{answer}")


def test_where_the_model_gives_no_answer_what_was_found_is_shown(run_folder, runs):
    with ScriptedServer(scripted(Reply(""))) as server:
        pieces, answer = heard(runs, server)
    assert "".join(pieces) == answer
    assert f"[{BEST}] won the finals" in answer


def test_roles_can_be_built_in_although_a_model_is_configured(run_folder, runs, capsys):
    with ScriptedServer(scripted(Reply(ANSWER))) as server:
        assert (
            main(["tell me about the base", "--json", *flags(server, runs), "--agents.players", "librarian=builtin"])
            == 0
        )
        assert server.num_requests == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answered_by"], told["candidates"][0]) == ("built-in", BASE)


def test_an_endpoint_that_is_gone_is_one_line_and_ends_no_conversation(run_folder, runs, capsys, monkeypatch, tmp_path):
    with ScriptedServer(lambda request: Reply.error(401, "no such key")) as server:
        given = flags(server, runs)
        assert main(["who is best?", *given]) == 1
        line = capsys.readouterr().err
        assert line.startswith(f"stopped: endpoint {server.url} (model qwen) refuses the key (401: no such key)")
        assert line.count("\n") == 1
        typed = tmp_path / "typed"
        typed.write_text("who is best?\nand now?\n")
        with typed.open() as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            assert main(given) == 0
    assert capsys.readouterr().err.count("error: endpoint") == 2
