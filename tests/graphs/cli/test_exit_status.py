"""What the surroundings of a process can lack, a terminal, a home, file descriptors, is one line or does not matter."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from fairnad.errors import StorageError
from fairnad.open_files import shortage_text
from graphs.cli.doctor import Health
from graphs.cli.doctor.machine import examine_machine
from graphs.cli.exit_status import report_errors
from graphs.cli.search_command import main, parse
from store.disk import disk_errors

NO_HOME = ["unshare", "--user", "--map-user", "54321"]
"""A user of whom the machine knows nothing."""
WAIT_FOR_THE_END = """
import asyncio, sys
from graphs.cli.stop_signals import stop_signals

async def wait():
    with stop_signals() as stopping:
        print("ready", flush=True)
        number = await stopping
        print("stopped", file=sys.stderr, flush=True)
        print("stopped", flush=True)
        open(sys.argv[1], "w").write(str(int(number)))

asyncio.run(wait())
"""
TIDY_UP_FOR_EVER = """
import asyncio
from graphs.cli.stop_signals import stop_signals

async def wait():
    with stop_signals() as stopping:
        print("ready", flush=True)
        await stopping
        print("stopping", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("Cannot operate on a closed database.")

asyncio.run(wait())
"""


def test_a_second_signal_ends_at_once_in_one_line():
    command = [sys.executable, "-c", TIDY_UP_FOR_EVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in ("ready\n", "stopping\n"):
            assert process.stdout.readline() == line
            process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "stopped at once; the same command resumes the run\n"
        assert process.wait(60) == 128 + signal.SIGINT


def test_a_terminal_that_is_closed_stops_in_good_order(tmp_path):
    ours, theirs = os.openpty()
    noted = tmp_path / "noted"

    def take_terminal() -> None:
        os.setsid()
        os.close(os.open(os.ttyname(1), os.O_RDWR))  # the first terminal a session opens is its own

    command = [sys.executable, "-c", WAIT_FOR_THE_END, str(noted)]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, preexec_fn=take_terminal)
    os.close(theirs)
    said = b""
    while b"\n" not in said:
        said += os.read(ours, 100)
    os.close(ours)
    assert process.wait(60) == 0
    assert noted.read_text() == str(int(signal.SIGHUP))


def test_a_process_that_is_to_outlive_its_terminal_does(tmp_path):
    command = ["nohup", sys.executable, "-c", WAIT_FOR_THE_END, str(tmp_path / "noted")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert (tmp_path / "noted").read_text() == str(int(signal.SIGTERM))


def test_without_a_home_and_a_known_user_everything_works():
    if (
        shutil.which("unshare") is None
        or subprocess.run([*NO_HOME, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets no user have another number")
    surroundings = {name: value for name, value in os.environ.items() if name not in ("HOME", "USER", "LOGNAME")}
    code = (
        "from graphs.cli.search_command import main; from store.chroma import import_chroma\n"
        "print(main(['--pack', '~/mine', '--dry-run']), import_chroma().__name__)\n"
        "import langchain_openai"
    )
    command = [*NO_HOME, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings)
    assert done.stdout == "2 chromadb\n"
    assert done.stderr.startswith(
        "error: pack '~/mine': expected one of (vision) or a folder with a pack.toml, found neither"
    )


def test_the_home_of_a_user_who_is_not_there(capsys):
    assert main(["--pack", "~nobody-of-this-name/mine", "--dry-run"]) == 2
    assert capsys.readouterr().err.startswith("error: pack '~nobody-of-this-name/mine': expected one of ")


def test_too_few_file_descriptors_are_named(tmp_path):
    code = (
        "import asyncio, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from graphs.cli.doctor.machine import _open_files\n"
        "from graphs.cli.exit_status import report_errors\n"
        "from store.chroma import import_chroma\n"
        "from pathlib import Path\n"
        "from tools.sandbox.supervisor import Sandbox\n"
        "report_errors(lambda: asyncio.run(Sandbox(Path(sys.argv[1])).start()))\n"
        "report_errors(import_chroma)\n"
        "report_errors(lambda: [open('/dev/null') for _ in range(100)])\n"
        "found = _open_files(); print(found.part, found.health, found.found, found.advice, sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stderr == 3 * f"error: {shortage_text(64)}\n"
    found, _, advice = shortage_text(64).partition(": ")
    assert done.stdout == f"open files|FAIL|{found}|{advice}\n"
    assert "ulimit -n 1024" in advice


def test_descriptors_that_are_all_in_use_are_named_also_by_the_stores(tmp_path, capsys):
    def fail() -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    assert report_errors(fail) == 2
    assert (
        "open files (file descriptors) this process is allowed are in use: raise the limit" in capsys.readouterr().err
    )
    with pytest.raises(StorageError, match="this process is allowed are in use"), disk_errors(tmp_path):
        fail()


def test_the_check_up_counts_descriptors():
    findings = {finding.part: finding for finding in examine_machine(parse([]))}
    assert findings["open files"].health is Health.OK
