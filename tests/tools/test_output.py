"""Every public command with an output that nobody reads, or that was closed before it began."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphs.cli.chat_command
import graphs.cli.knowledge_command
import graphs.cli.report_command
import graphs.cli.search_command
import graphs.studio
import store.history_store
import tools.budget_evaluator
import tools.check_command
from fairnad import __version__
from tools.output import until_reader_leaves

MAINS = (
    *(graphs.cli.search_command.main, graphs.cli.knowledge_command.main, graphs.cli.chat_command.main),
    *(graphs.cli.report_command.main, graphs.studio.main),
    *(tools.check_command.main, tools.budget_evaluator.main, store.history_store.main),
)


def run_unread(*arguments: str, with_errors: bool = False) -> tuple[int, str]:
    """(exit status, stderr) of a command whose output is a pipe that nobody reads; ``with_errors`` stderr's too."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            stdout=writing,
            stderr=writing if with_errors else subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr or ""


BREAKING = (
    "from tools.output import until_reader_leaves\n"
    "def fail(): raise BrokenPipeError\n"
    "raise SystemExit(until_reader_leaves(fail, 141))"
)


def test_a_reader_that_leaves_is_no_error():
    assert until_reader_leaves(lambda: 3) == 3
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert subprocess.run([sys.executable, "-c", BREAKING], stdout=writing, check=False).returncode == 141
    finally:
        os.close(writing)


def test_another_pipe_that_breaks_is_an_error():
    done = subprocess.run([sys.executable, "-c", BREAKING], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr


@pytest.mark.parametrize("main", MAINS)
def test_every_command_tells_its_version(main, capsys):
    with contextlib.suppress(SystemExit):
        main(["--version"])
    assert capsys.readouterr() == (f"FairNAD {__version__}\n", "")


@pytest.mark.parametrize("module", ["graphs.chat", "graphs.knowledge", "graphs.report", "store.history_store"])
def test_help_that_nobody_reads(module):
    assert run_unread(module, "--help") == (0, "")


def test_a_plan_a_verdict_and_a_mistake_that_nobody_reads(tmp_path: Path):
    file = tmp_path / "network.py"
    file.write_bytes(b"\xff")  # rejected without a sandbox
    assert run_unread("graphs.search", "--dry-run", "--runs", str(tmp_path)) == (0, "")
    assert run_unread("tools.lab", "check", str(file)) == (0, "")
    assert run_unread("graphs.search", "--dry-rum", with_errors=True) == (0, "")


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("graphs.search runs >&-", 0, ""),
        ("graphs.search --dry-rum 2>&-", 2, ""),
        ("store.history_store nowhere >&-", 2, "error: expected a run folder, found no history.sqlite in nowhere\n"),
    ],
)
def test_a_stream_that_the_caller_has_closed(command, status, told):
    command = f"{sys.executable} -m {command}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", told)
