"""What holds without a jail: hostile and broken sources in processes that may do what the user may."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tools.sandbox.supervisor
from fairnad.errors import LabError, StoppingError, StorageError
from fairnad.records.candidate import FailureKind, Step
from tests.tools.sandbox.good_network import GOOD
from tests.tools.unjailed import UNJAILED
from tools.sandbox import fork_server, job_child, process_control
from tools.sandbox.job import Job, JobKind, Limits, write_folder
from tools.sandbox.supervisor import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")
IN_INIT = GOOD.replace("super().__init__()", "super().__init__()\n        {}")
IN_FORWARD = GOOD.replace("return", "{}\n        return")
LOOP = "while True: pass"
STUBBORN_LOOP = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        7 ** (10 ** 9)
    except BaseException:
        continue
"""
WAIT = "import signal; signal.pause()"


async def test_a_good_source_leaves_a_report(run_check):
    result = await run_check(GOOD)
    assert result.failure is None
    assert result.report["costs"] == {"params": 3 * 8 * 9 + 8 + 8 * 4 + 4, "flops": 36 * 8 * 27 + 8 * 4}
    assert result.cpu_seconds > 0 and 0 < result.wall_seconds < 20


@pytest.mark.parametrize(
    "source", [LOOP, IN_INIT.format(LOOP), IN_FORWARD.format(LOOP), STUBBORN_LOOP], ids=lambda source: source[:20]
)
async def test_a_source_that_never_ends_is_killed(failure_of, source):
    failure = await failure_of(source, wall_seconds=1)
    assert failure.kind is FailureKind.TIMEOUT
    assert failure.message == "killed at the limit of 1 seconds"


@pytest.mark.parametrize(
    "bomb",
    [
        "b = [bytearray(10**7) for _ in range(10**6)]",
        "import torch\nb = torch.ones(10**11)",
        """b = []
for size in (10**7, 10**5, 10**3, 50):
    try:
        while True: b.append(bytearray(size))
    except MemoryError:
        pass
while True: b.append(bytearray(50))
""",
    ],
)
async def test_a_memory_bomb_fails_for_memory(failure_of, bomb):
    failure = await failure_of(bomb, memory_bytes=3 * 10**8)
    assert failure.kind is FailureKind.MEMORY


async def test_endless_output_is_cut_off_and_its_end_is_kept(failure_of):
    failure = await failure_of("while True: print('spam and eggs')")
    assert failure.kind is FailureKind.CRASH
    assert failure.message == "killed because it printed more than 100000 bytes"
    assert failure.log_tail.endswith("spam and eggs\n")


async def test_output_that_looks_like_the_protocol_changes_nothing(run_check):
    line = json.dumps({"id": 0, "reason": "exit", "code": 0, "wall_seconds": 0, "cpu_seconds": 0, "output": ""})
    forged = f"import sys\nprint({line!r})\nprint({line!r}, file=sys.stderr, flush=True)\n"
    assert (await run_check(forged + GOOD)).failure is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os; os._exit(0)", "ended without a complete report"),
        ("import os; os._exit(3)", "ended with exit status 3 and no report"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGRTMAX)", "killed by SIGRTMAX"),
        ("import os, signal; os.kill(os.getpid(), 40)", "killed by signal 40"),
    ],
)
async def test_an_end_without_a_report_is_a_crash(failure_of, source, message):
    failure = await failure_of(source)
    assert (failure.step, failure.kind, failure.message) == (Step.EXECUTE, FailureKind.CRASH, message)


@pytest.mark.parametrize(
    "forgery",
    [
        "report.write_text('{')",
        "report.write_text('[]')",
        """report.write_text('{"result": 1}')""",
        """report.write_text('{"result": {"loss": NaN}}')""",
        """report.write_text('{"failure": {"kind": "timeout", "message": "", "log_tail": ""}}')""",
        """report.write_text('{"failure": {"kind": "shape"}}')""",
        "report.write_text('[' * 60000)",
        "report.write_bytes(bytes(70000))",
        "report.unlink()\nreport.symlink_to('/etc/passwd')",
        "report.unlink()\nos.mkfifo(report)",
        "report.unlink()\nreport.mkdir()",
        "report.unlink()",
        "",
    ],
)
async def test_a_forged_report_is_refused(failure_of, forgery):
    failure = await failure_of(f"import os, pathlib\nreport = pathlib.Path('report.json')\n{forgery}\nos._exit(0)")
    assert failure.kind is FailureKind.CRASH
    assert failure.message in ("ended without a complete report", "left a malformed report")


async def test_a_claimed_message_is_cut_and_made_printable(failure_of):
    failure = await failure_of("raise ValueError('\\x1b[31mred\\u202e' + 'x' * 10**6)")
    assert failure.kind is FailureKind.RUNTIME
    assert failure.message.startswith("ValueError: \\x1b[31mred\\u202ex")
    assert len(failure.message) < 400 and failure.message.endswith("(line 1)")


@pytest.mark.parametrize(
    ("delivered", "found"),
    [
        ("pass", "0 bytes"),
        ("path.unlink()", "No such file or directory"),
        ("path.write_bytes(bytes(15))", "15 bytes"),
        ("path.write_bytes(bytes(17))", "17 bytes"),
        ("path.unlink(); path.symlink_to('/etc/passwd')", "Too many levels of symbolic links"),
        ("path.unlink(); os.mkfifo(path)", "not a regular file"),
    ],
)
async def test_a_delivery_of_another_length_is_a_crash(sandbox, make_job, delivered, found):
    source = f"""
import os, pathlib
path = pathlib.Path("weights.bin")
{delivered}
pathlib.Path("report.json").write_text('{{"result": {{}}}}')
os._exit(0)
"""
    failure = (await sandbox.run(make_job(source, deliveries={"weights.bin": 16}))).failure
    assert failure is not None
    assert failure.kind is FailureKind.CRASH
    assert failure.message == f"weights.bin: expected 16 bytes, found: {found}"


async def test_a_job_finds_no_secret_no_input_and_no_open_file_but_its_report(failure_of):
    failure = await failure_of(
        "import os, sys, pathlib\n"
        "environ = pathlib.Path(f'/proc/{os.getppid()}/environ').read_text() + str(os.environ)\n"
        "files = [f for f in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{f}')]\n"
        "raise ValueError(f\"{'SECRET' in environ} {files} {sys.stdin.read()!r}\")"
    )
    assert failure.message == "ValueError: False ['0', '1', '2', '3'] '' (line 4)"


async def test_a_process_that_left_the_group_is_gone_with_its_job(run_check, pipe):
    source = f"""
import os, signal
arrived, done = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        with open({str(pipe.path)!r}, "w") as file:
            file.write(f"{{os.getpid()}}\\n")
        os.write(done, b"x")
        signal.pause()
    os._exit(0)
os.read(arrived, 1)
"""
    assert (await run_check(source + GOOD)).failure is None
    (orphan,) = pipe.read_ids(1)
    assert not Path(f"/proc/{orphan}").exists()


async def test_two_jobs_run_at_the_same_time(run_check, tmp_path):
    meet = "import pathlib\npathlib.Path({!r}).touch()\nwhile not pathlib.Path({!r}).exists(): pass\n"
    one, other = str(tmp_path / "one"), str(tmp_path / "other")
    results = await asyncio.gather(run_check(meet.format(one, other) + GOOD), run_check(meet.format(other, one) + GOOD))
    assert [result.failure for result in results] == [None, None]


async def test_a_cancelled_run_kills_its_job(run_check, pipe, ends):
    task = asyncio.ensure_future(run_check(_report_pid(pipe.path) + WAIT))
    (pid,) = await asyncio.to_thread(pipe.read_ids, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ends(pid)


async def test_the_job_runs_again_when_the_server_dies_under_it(run_check, pipe, tmp_path, ends):
    source = f"""
import os, pathlib, signal
marker = pathlib.Path({str(tmp_path / "marker")!r})
if not marker.exists():
    marker.touch()
    arrived, done = os.pipe()
    if os.fork() == 0:
        with open({str(pipe.path)!r}, "w") as file:
            file.write(f"{{os.getpid()}}\\n")
        os.write(done, b"x")
        signal.pause()
    os.read(arrived, 1)
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()
"""
    result = await run_check(source + GOOD)
    assert result.failure is None
    (grandchild,) = pipe.read_ids(1)
    assert ends(grandchild)


async def test_a_server_that_dies_twice_under_a_job_is_a_fault_of_the_lab(run_check):
    with pytest.raises(LabError, match="the fork server died twice during a check job"):
        await run_check("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()")
    assert (await run_check(GOOD)).failure is None


async def test_closing_kills_what_runs_and_leaves_nothing(make_job, tmp_path, pipe, ends):
    sandbox = Sandbox(tmp_path, UNJAILED)
    await sandbox.start()
    job = make_job(_report_pid(pipe.path) + WAIT)
    running = [asyncio.ensure_future(sandbox.run(job)) for _ in range(2)]
    pids = await asyncio.to_thread(pipe.read_ids, 2)
    await sandbox.close()
    for task in running:
        with pytest.raises(StoppingError, match="the job did not start because the sandbox is being stopped"):
            await task
    assert all(ends(pid) for pid in pids)
    assert not list(tmp_path.glob("jobs/*"))


async def test_a_server_with_a_second_thread_forks_nothing(monkeypatch):
    monkeypatch.setattr(job_child, "rehearse", lambda: None)
    monkeypatch.setattr(process_control, "num_threads", lambda: 2)
    with pytest.raises(RuntimeError, match="expected one thread after the warm-up, found 2"):
        fork_server.warm_up()


async def test_nothing_is_left_when_the_parent_is_killed(tmp_path, pipe, ends):
    source = f"""
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
with open({str(pipe.path)!r}, "w") as file:
    file.write(f"{{os.getpid()}}\\n{{os.getppid()}}\\n")
signal.pause()
"""
    script = f"""
import asyncio, pathlib
from fairnad.records.candidate import Step
from fairnad.domain.contract import Contract
from fairnad.settings.search_settings import LabSettings
from tools.sandbox.job import Job, JobKind, Limits
from tools.sandbox import fork_server, job_child, process_control
from tools.sandbox.supervisor import Sandbox

async def main():
    sandbox = Sandbox(pathlib.Path({str(tmp_path)!r}), LabSettings(isolation="E", source_policy=False))
    await sandbox.start()
    request = {{"contract": Contract.for_images(8, 4).to_json(), "seed": 0, "integrity": "off"}}
    job = Job(JobKind.CHECK, Step.EXECUTE, {source!r}, request, Limits(60, 10**9, 1000))
    await asyncio.gather(sandbox.run(job), sandbox.run(job))

asyncio.run(main())
"""
    root = Path(__file__).parents[3]
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    pids = await asyncio.to_thread(pipe.read_ids, 8)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert all(ends(pid) for pid in pids)


async def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="jobs: expected a folder to write a job's files to, but: not a directory"):
        await Sandbox(tmp_path / "file", UNJAILED).start()


async def test_a_job_that_fails_on_a_full_disk_is_not_to_blame(run_check, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 9, 9))
    assert (await run_check(GOOD)).failure is None
    with pytest.raises(StorageError, match="but: the disk has 9 bytes left; make room"):
        await run_check("1 / 0")


async def test_a_server_that_does_not_start_is_a_fault_of_the_lab(tmp_path, monkeypatch):
    monkeypatch.setattr(tools.sandbox.supervisor, "CHECKOUT", tmp_path)
    with pytest.raises(LabError, match=r"the fork server did not start: .*No module named 'tools'"):
        await Sandbox(tmp_path, UNJAILED).start()


async def test_a_server_that_is_not_warm_in_time_is_a_fault_of_the_lab(tmp_path, monkeypatch):
    monkeypatch.setattr(tools.sandbox.supervisor, "_START_SECONDS", 0.01)
    with pytest.raises(LabError, match=r"the fork server was not warm after 0.01 seconds"):
        await Sandbox(tmp_path, UNJAILED).start()


def _report_pid(path: Path) -> str:
    return f"import os\nwith open({str(path)!r}, 'w') as file: file.write(f'{{os.getpid()}}\\n')\n"


async def test_a_job_has_no_file_that_a_development_server_would_restart_for(tmp_path):
    write_folder(tmp_path / "job", Job(JobKind.CHECK, Step.EXECUTE, "import torch\n", {}, Limits(60, 10**9, 1000)))
    assert {path.suffix for path in (tmp_path / "job").iterdir()} == {".src", ".json"}
