"""A person's hand at the terminal, on a terminal of its own (a pseudo-terminal)."""

from __future__ import annotations

import os
import pty
import select
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from graphs.cli.search_command import main
from tests.e2e.networks import network
from tests.e2e.scripts import Script, fenced, lively
from tests.openai_server import ScriptedServer

SCREEN = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}


class Terminal:
    """A search in a process of its own, with a person at its terminal."""

    def __init__(self, flags: list[str], editor: Path) -> None:
        self._person, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "graphs.search", *flags],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**SCREEN, "EDITOR": str(editor)},
            start_new_session=True,
        )
        os.close(terminal)
        self.seen = ""
        self._looked_at = 0

    def wait_for(self, text: str) -> None:
        """Read until the screen has shown a text, after the one that was waited for last."""
        while text not in self.seen[self._looked_at :]:
            assert self._read(), f"the search ended without {text!r}: {self.seen}"
        self._looked_at = self.seen.index(text, self._looked_at) + len(text)

    def say(self, text: str) -> None:
        """Type a line, or whatever keys ``text`` holds."""
        os.write(self._person, text.encode())

    def end(self) -> int:
        """The exit status, once everything was shown."""
        while self._read():
            pass
        os.close(self._person)
        return self.process.wait(timeout=60)

    def _read(self) -> bool:
        readable, _, _ = select.select([self._person], [], [], 120)
        assert readable, f"nothing happens any more: {self.seen}"
        try:
            part = os.read(self._person, 65536)
        except OSError:  # what a pseudo-terminal says when its other end is closed
            return False
        self.seen += part.decode(errors="replace")
        return bool(part)


@pytest.fixture
def editor(tmp_path):
    """An editor that writes what a test has prepared over what it is given."""
    program, prepared = tmp_path / "editor.sh", tmp_path / "prepared"
    program.write_text(f'#!/bin/sh\ncat "{prepared}" > "$1"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def prepare(text: str) -> Path:
        prepared.write_text(text)
        return program

    return prepare


def test_a_candidate_is_edited_at_the_terminal_and_after_ctrl_c_the_search_asks_again(flags, history, editor):
    mine = network(width=5, activation="GELU")
    script = Script(mutate=[fenced(network(width=9)), fenced(network(width=7))])
    with ScriptedServer(script) as model:
        told = flags(**{
            "review": "candidates", "llm.model": "m", "llm.base_url": model.url, "archs": 2, "search.initial": 2,
            "lab.slots": 1, "llm.concurrency": 1, "grace_seconds": 0,
        })  # fmt: skip
        first = Terminal(told, editor(mine))
        first.wait_for("train it? [y]es, [n]o, [e]dit: ")
        assert "of its limit)" in first.seen and "-" in first.seen
        first.process.send_signal(signal.SIGINT)
        first.wait_for("Run the same command again to resume")
        assert first.end() == 130
        asked = list(script.asked)
        second = Terminal(told, editor(mine))
        second.wait_for("train it? [y]es, [n]o, [e]dit: ")
        second.say("what?\n")
        second.wait_for("train it? [y]es, [n]o, [e]dit: ")
        second.say("e\n")
        second.wait_for("train it? [y]es, [n]o, [e]dit: ")
        second.say("y\n")
        assert second.end() == 0, second.seen
    assert script.asked[: len(asked)] == asked
    assert script.asked.count("mutate") == 2, "nothing was asked twice"
    one, two = history().drawn
    assert (one.source, one.num_edits, one.trained) == (mine, 1, True)
    assert (two.num_edits, two.trained) == (0, True)


def test_ideas_are_refused_and_edited_at_the_terminal_and_a_bad_edit_is_asked_for_again(flags, history, editor):
    question = "use it? [y]es, [n]o, [e]dit: "
    with ScriptedServer(Script(mutate=[fenced(network(width=9))])) as model:
        told = flags(**{"review": "ideas", "llm.model": "m", "llm.base_url": model.url})
        person = Terminal(told, editor("word " * 60))
        person.wait_for(question)
        person.say("n\n")
        person.wait_for(question)
        person.say("e\n")
        person.wait_for("not accepted: an idea has 1 to 49 words, found 60")
        person.wait_for(question)
        editor("Widen the stem.")
        person.say("e\n")
        assert person.end() == 0, person.seen
    refused, edited = history().drawn
    assert (refused.failure.step, refused.failure.kind) == ("mutate", "review")
    assert (edited.idea.text, edited.num_edits, edited.trained) == ("Widen the stem.", 1, True)


def test_an_editor_that_cannot_be_started_is_named_and_the_question_stands(flags, editor, monkeypatch):
    question = "use it? [y]es, [n]o, [e]dit: "
    monkeypatch.setitem(SCREEN, "VISUAL", "vi 'unclosed")
    with ScriptedServer(Script(mutate=[fenced(network(width=9))])) as model:
        told = flags(**{"review": "ideas", "llm.model": "m", "llm.base_url": model.url})
        person = Terminal(told, editor(""))
        person.wait_for(question)
        person.say("e\n")
        person.wait_for("the editor vi 'unclosed cannot be started (No closing quotation); EDITOR names another")
        person.wait_for(question)
        person.say("y\n")
        assert person.end() == 0, person.seen


def test_without_a_terminal_the_search_stops_in_one_line_and_goes_on_when_nobody_has_to_decide(flags, history, capsys):
    with ScriptedServer(lively) as model:
        told = {"llm.model": "m", "llm.base_url": model.url, "archs": 1}
        assert main(flags(**told, review="ideas")) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert error.startswith("stopped: --review ideas needs your decision, but stdin is not a terminal")
        assert main(flags(**told, review="none")) == 0
    assert len(history().trained) == 1
