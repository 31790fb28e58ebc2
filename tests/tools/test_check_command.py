"""``python -m tools.lab check``: what scripts read, and what happens to files that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairnad.domain.contract import Contract
from fairnad.settings.search_settings import LabSettings
from tools import check_command
from tools.check_command import judge
from tools.checks import Checker

ROOT = Path(__file__).parents[2]
RESNET = ROOT / "prompts" / "vision" / "models" / "resnet32.py"
KEYS = ["verdict", "step", "kind", "message", "params", "flops", "fingerprint", "isolation", "seconds"]
SMALL = ["--image-size", "8", "--num-classes", "4"]
in_session = pytest.mark.asyncio(loop_scope="session")
NETWORK = """
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(192, num_classes)
        {init}

    def forward(self, x):
        {forward}
        return self.head(x.flatten(1))
"""


def network(init: str = "", forward: str = "") -> str:
    return NETWORK.format(init=init, forward=forward)


@pytest.fixture(scope="module")
def checker(sandbox):
    return Checker(sandbox, LabSettings(integrity="warn", check_seconds=20), Contract.for_images(8, 4), num_slots=1)


def test_the_command_prints_one_object_and_nothing_else():
    command = [sys.executable, "-m", "tools.lab", "check", str(RESNET), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(answer) == KEYS
    assert (answer["verdict"], answer["params"], answer["flops"]) == ("accept", 466906, 69759616)
    assert answer["step"] is answer["kind"] is answer["message"] is None
    assert len(answer["fingerprint"]) == 16 and answer["isolation"] in "ABCDE"
    assert 0 < answer["seconds"] < 20


@in_session
async def test_a_fault_is_rejected_with_what_was_measured(checker):
    judged = await judge(network(forward="x = x - x.mean(0)"), checker, refuse=True)
    assert (judged.verdict, judged.step, judged.kind, judged.params) == ("reject", "judge", "batch leakage", 772)
    assert judged.message.startswith("the same image alone and in two batches: ")


@in_session
async def test_an_oversight_is_a_flag(checker):
    judged = await judge(network(init="self.spare = nn.Linear(2, 2)"), checker, refuse=True)
    assert (judged.verdict, judged.step, judged.kind) == ("flag", "judge", "integrity")
    assert judged.message == "no gradient reaches spare.weight, spare.bias"


@in_session
async def test_a_fault_is_flagged_where_nothing_is_refused(checker):
    judged = await judge(network(forward="x = x - x.mean(0)"), checker, refuse=False)
    assert (judged.verdict, judged.kind) == ("flag", "batch leakage")


@in_session
@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("", "interface", "the source defines no class Network"),
        (network(forward="1 / 0"), "runtime", "ZeroDivisionError: division by zero (line 11)"),
    ],
)
async def test_a_source_that_does_not_run_is_rejected_without_costs(checker, source, kind, message):
    judged = await judge(source, checker, refuse=True)
    assert (judged.verdict, judged.step, judged.kind, judged.message) == ("reject", "execute", kind, message)
    assert judged.params is judged.flops is judged.fingerprint is None


@in_session
async def test_a_source_that_never_ends_is_rejected_in_time(sandbox):
    checker = Checker(sandbox, LabSettings(integrity="warn", check_seconds=1.5), Contract.for_images(8, 4), num_slots=1)
    judged = await judge(network(forward="while True: pass"), checker, refuse=True)
    assert (judged.verdict, judged.kind) == ("reject", "timeout")
    assert judged.message == "killed at the limit of 1.5 seconds"
    assert 1.5 <= judged.seconds < 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\xff\xfe", "the source is not UTF-8 at byte 4"),
        ("x = '\xfc'".encode("latin-1"), "the source is not UTF-8 at byte 5"),
        (b"# " + b"x" * 2**21, "the source has more than 1048576 bytes"),
    ],
)
def test_bytes_that_are_no_source_are_rejected_without_a_sandbox(tmp_path, capsys, content, message):
    file = tmp_path / "network.py"
    file.write_bytes(content)
    assert check_command.main(["check", str(file), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["kind"], answer["message"]) == ("reject", "syntax", message)
    assert list(answer) == KEYS


def test_without_json_it_is_a_few_lines_for_people(tmp_path, capsys):
    file = tmp_path / "network.py"
    file.write_text(network(init="self.spare = nn.Linear(2, 2)"))
    assert check_command.main(["check", str(file), *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{file}: flag"
    assert lines[1] == "  judge: integrity: no gradient reaches spare.weight, spare.bias"
    assert lines[2] == "  778 parameters, 768 multiply-adds for one image of 8×8 pixels"
    assert lines[3].startswith("  fingerprint ") and lines[4].startswith("  isolation ")


def run_command(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tools.lab", "check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, **options)  # type: ignore[call-overload]


def test_standard_input_is_read_to_its_end_and_a_fault_is_exit_status_1():
    done = run_command("-", *SMALL, "--json", input=network(forward="x = x - x.mean(0)").encode())
    assert (done.returncode, json.loads(done.stdout)["kind"]) == (1, "batch leakage")


def test_standard_input_that_says_nothing_is_given_up():
    reader, writer = os.pipe()
    done = run_command("-", "--wall-seconds", "0.2", stdin=reader)
    os.close(writer)
    os.close(reader)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"standard input: expected a Python source, but it did not end within 0.2 s\n"


def test_what_is_no_file_is_one_line_and_exit_status_2(tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = {
        str(tmp_path / "no.py"): "but it cannot be read: No such file or directory",
        str(tmp_path): "found a folder; use - for standard input",
        str(pipe): "found no regular file; use - for standard input",
        "/dev/null": "found no regular file; use - for standard input",
        "a\0b": "but it cannot be read: embedded null byte",
    }
    for name, found in told.items():
        assert check_command.main(["check", name]) == 2
        said = capsys.readouterr()
        assert (said.out, said.err) == ("", f"{name}: expected a Python source, {found}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["check"],
        ["tidy", "x.py"],
        ["check", "x.py", "--image-size", "0"],
        ["check", "x.py", "--num-classes", "ten"],
        ["check", "x.py", "--wall-seconds", "nan"],
        ["check", "x.py", "--integrity", "perhaps"],
    ],
)
def test_a_mistake_in_the_command_is_exit_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        check_command.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_sandbox_that_does_not_start_is_no_verdict(tmp_path, capsys, monkeypatch):
    file = tmp_path / "network.py"
    file.write_text(network())
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert check_command.main(["check", str(file)]) == 3
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("the sandbox did not work: the fork server did not start")


def test_neither_the_command_nor_its_help_loads_torch():
    code = "import sys, tools.check_command; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
