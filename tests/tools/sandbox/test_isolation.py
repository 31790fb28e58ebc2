"""Which level is chosen, what is said where it cannot be had, and what holds at each."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import tools.sandbox.isolation
from fairnad.errors import LabError, SettingsError
from fairnad.settings.search_settings import LabSettings
from tests.tools.sandbox.hostile.corpus import network
from tools.sandbox import jail, landlock, seccomp
from tools.sandbox import jail_self_test as trial
from tools.sandbox import readable_paths as places
from tools.sandbox.isolation import Level, SandboxFolders, choose, find_level, find_obstacle, wrapper
from tools.sandbox.supervisor import Sandbox


@pytest.fixture
def folders(tmp_path: Path) -> SandboxFolders:
    (tmp_path / "jobs").mkdir()
    return SandboxFolders(tmp_path, tmp_path / "jobs")


@pytest.mark.parametrize("level", Level)
async def test_every_level_runs_an_honest_network_and_shuts_in_what_it_promises(level, folders, make_job):
    if obstacle := find_obstacle(level, folders):
        pytest.skip(obstacle)
    sandbox = Sandbox(folders.scratch, LabSettings(isolation=level))
    await sandbox.start()
    try:
        assert sandbox.isolation is level
        assert (await sandbox.run(make_job(network()))).failure is None
        for code, is_held in (
            ("open('/etc/passwd')", level <= "C"),
            ("open('new', 'w')", level <= "D"),
            ("import os\nos.stat('/proc/PID')".replace("PID", str(os.getpid())), level <= "B"),
        ):
            held = await sandbox.run(replace(make_job(network(init=code)), has_policy=False))
            assert (held.failure is not None) == is_held, code
    finally:
        await sandbox.close()


def test_the_best_level_is_chosen_and_the_next_where_a_layer_is_missing(folders, monkeypatch):
    missing = {Level.A: "none"}
    monkeypatch.setattr(tools.sandbox.isolation, "_try_namespaces", lambda level, _: missing.get(level, ""))
    assert choose(LabSettings(), folders) is Level.B
    missing[Level.B] = "none"
    assert choose(LabSettings(), folders) is Level.C
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert choose(LabSettings(), folders) is Level.D
    assert choose(LabSettings(), SandboxFolders(folders.scratch, folders.jobs, with_gpu=True)) is Level.E
    monkeypatch.setattr(seccomp, "is_supported", lambda: False)
    assert choose(LabSettings(), folders) is Level.E


def test_a_level_that_cannot_be_had_is_refused_in_one_line(folders, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SettingsError) as caught:
        choose(LabSettings(isolation="A"), folders)
    assert str(caught.value) == (
        "--lab.isolation A: expected the program bwrap, found none (Debian's package bubblewrap has it); "
        "choose a lower level, or auto for the strongest one"
    )
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(SettingsError, match="C: expected a kernel with Landlock"):
        choose(LabSettings(isolation="C"), folders)
    monkeypatch.setattr(seccomp, "is_supported", lambda: False)
    with pytest.raises(SettingsError, match="D: expected a kernel with seccomp filters"):
        choose(LabSettings(isolation="D"), folders)


def test_what_a_failing_program_says_is_told(folders, monkeypatch):
    monkeypatch.setattr(tools.sandbox.isolation, "wrapper", lambda level, _: ["sh", "-c", "echo no room >&2; exit 1"])
    assert find_obstacle(Level.A, folders) == "expected sh to create namespaces, found: no room"


def test_a_program_that_does_not_answer_is_told(folders, monkeypatch):
    monkeypatch.setattr(tools.sandbox.isolation, "wrapper", lambda level, _: ["sh", "-c", "read forever <&2"])
    monkeypatch.setattr(tools.sandbox.isolation, "_PROBE_SECONDS", 0)
    assert find_obstacle(Level.B, folders) == "expected sh to create namespaces, found no answer"


def test_looking_for_the_level_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert find_level(LabSettings(isolation="E")) is Level.E
    assert list(tmp_path.iterdir()) == []


def test_bubblewrap_shows_no_home_no_settings_and_no_run_folder(folders):
    command = wrapper(Level.A, folders)
    shown = {place for option, place in zip(command, command[2:], strict=False) if "bind" in option}
    assert str(folders.jobs) in shown
    assert shown.isdisjoint({"/", "/etc", "/home", "/root", "/run", "/var", str(Path.home()), str(places.CHECKOUT)})
    assert wrapper(Level.C, folders) == []


async def test_a_jail_that_lets_a_job_out_is_no_jail(tmp_path, monkeypatch):
    monkeypatch.setattr(jail, "close", lambda level, allowance: None)
    with pytest.raises(
        RuntimeError, match="isolation C is available on this machine, but its jail failed the escape test"
    ):
        await asyncio.to_thread(trial.test_jail, Level.C)


async def test_a_layer_that_cannot_be_put_up_is_a_fault_of_the_lab(tmp_path, monkeypatch):
    monkeypatch.setattr(tools.sandbox.isolation, "find_obstacle", lambda level, folders: "")
    monkeypatch.setattr(tools.sandbox.isolation, "_UNSHARE", ("--no-such-option",))
    with pytest.raises(LabError, match=r"the fork server did not start: .*unshare"):
        await Sandbox(tmp_path, LabSettings(isolation="B")).start()


@pytest.mark.parametrize("level", ["A", "B"])
def test_with_namespaces_nothing_is_left_when_the_parent_is_killed(level, folders, pipe, ends):
    if obstacle := find_obstacle(Level(level), folders):
        pytest.skip(obstacle)
    source = network(init="import threading\nthreading.Event().wait()")
    script = f"""
import asyncio, pathlib
from fairnad.domain.contract import Contract
from fairnad.records.candidate import Step
from fairnad.settings.search_settings import LabSettings
from tests.tools.sandbox.hostile.runner import descendants
from tools.sandbox.job import Job, JobKind, Limits
from tools.sandbox.supervisor import Sandbox
import os

async def main():
    sandbox = Sandbox(pathlib.Path({str(folders.scratch)!r}), LabSettings(isolation={level!r}, source_policy=False))
    await sandbox.start()
    before = descendants(os.getpid())
    request = {{"contract": Contract.for_images(8, 4).to_json(), "seed": 0, "integrity": "off"}}
    job = Job(JobKind.CHECK, Step.EXECUTE, {source!r}, request, Limits(60, 10**9, 1000))
    running = asyncio.ensure_future(sandbox.run(job))
    while len(descendants(os.getpid())) <= len(before):
        await asyncio.sleep(0)
    with open({str(pipe.path)!r}, "w") as file:
        file.writelines(f"{{pid}}\\n" for pid in [len(before) + 1, *descendants(os.getpid())])
    await running

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=places.CHECKOUT)
    (num_processes,) = pipe.read_ids(1)
    pids = pipe.read_ids(num_processes)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert num_processes >= 3
    assert all(ends(pid) for pid in pids)
