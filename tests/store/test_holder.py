from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairnad.errors import StorageError
from fairnad.settings.search_settings import RunContext
from store.holder import Holder, find_holder
from store.run_folder import RunFolder


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(run="mine", runs=str(tmp_path))


def test_who_works_on_a_run_is_known_while_it_does(context: RunContext, tmp_path: Path) -> None:
    assert find_holder(tmp_path / "mine") is None
    with RunFolder.open(context) as folder:
        assert find_holder(folder.path) == Holder(os.getpid(), is_alive=True)
        assert find_holder(folder.path) == Holder(os.getpid(), is_alive=True), "asking changes nothing"
    assert find_holder(folder.path) is None, "the number it left does not count"
    with RunFolder.open(context):
        pass


def test_a_lock_outlives_its_process_only_in_a_child(context: RunContext, start, tmp_path: Path) -> None:
    source = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, sys.argv[2].encode())
print("held", flush=True)
sys.stdin.read()
"""
    (tmp_path / "mine").mkdir()
    lock = tmp_path / "mine" / "lock"
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    program = start(source, lock, ended.stdout.strip())
    program.lines(1)
    assert find_holder(tmp_path / "mine") == Holder(int(ended.stdout), is_alive=False)
    program.kill()
    assert find_holder(tmp_path / "mine") is None
    lock.write_text("")
    program = start(source, lock, "")
    program.lines(1)
    assert find_holder(tmp_path / "mine") == Holder(None, is_alive=True)


def test_a_lock_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "lock").touch(mode=0)
    with pytest.raises(StorageError, match="must be readable and writable"):
        find_holder(tmp_path)
