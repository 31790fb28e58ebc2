"""Every hostile source ends with its verdict, in its time, and has touched nothing: with the policy and without."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.tools.sandbox.hostile.canaries import canaries
from tests.tools.sandbox.hostile.corpus import HARM, Hostile
from tests.tools.sandbox.hostile.legitimate import LEGITIMATE
from tests.tools.sandbox.hostile.ordinary_user import as_nobody
from tests.tools.sandbox.hostile.reach import REACHES
from tests.tools.sandbox.hostile.runner import CORPUS, WALL_SECONDS, Outcome, Verdict, harms, run_corpus
from tools.sandbox.isolation import Level, SandboxFolders, find_obstacle

LEVELS = ("A", "C")


def skip_where_missing(level: str, folder: Path) -> None:
    if obstacle := find_obstacle(Level(level), SandboxFolders(folder, folder)):
        pytest.skip(f"isolation {level}: {obstacle}")


@pytest.fixture(scope="module", params=LEVELS)
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """That of the whole corpus at one level, as whoever runs the tests."""
    scratch = tmp_path_factory.mktemp("hostile")
    skip_where_missing(request.param, scratch)
    return asyncio.run(run_corpus(request.param, scratch))


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_a_hostile_source_ends_with_its_verdict(outcome: Outcome, hostile: Hostile) -> None:
    held = outcome.verdict(hostile.name, has_policy=True)
    assert held.kind == (hostile.held or ""), held.said
    if hostile.free:
        free = outcome.verdict(hostile.name, has_policy=False)
        assert free.kind in [kind or "" for kind in hostile.free], free.said


def test_no_canary_is_touched_no_process_is_left_and_the_sandbox_lives_on(outcome: Outcome) -> None:
    assert harms(outcome) == []
    assert outcome.touched == ()
    assert outcome.num_left_over == 0
    assert outcome.has_survived


def test_what_does_not_end_is_ended_in_time(outcome: Outcome) -> None:
    late = [v for v in outcome.verdicts if v.kind == "timeout" and v.wall_seconds > 5 * WALL_SECONDS]
    assert late == []


@pytest.mark.parametrize("name", LEGITIMATE)
def test_a_legitimate_source_passes(outcome: Outcome, name: str) -> None:
    verdict = outcome.verdict(name, has_policy=True)
    assert verdict.kind == "", verdict.said


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever runs the tests is an ordinary user already")
@pytest.mark.parametrize("level", LEVELS)
def test_an_ordinary_user_is_as_safe(level: str, tmp_path: Path) -> None:
    skip_where_missing(level, tmp_path)
    command = as_nobody([sys.executable, "-m", "tests.tools.sandbox.hostile.runner", level])
    with tempfile.TemporaryDirectory() as home:
        Path(home).chmod(0o777)
        environment = os.environ | {"TMPDIR": home, "HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    found = Outcome(**{**told, "verdicts": tuple(Verdict(**verdict) for verdict in told["verdicts"])})
    assert found.isolation == level
    assert len(found.verdicts) == len(REACHES)
    assert (harms(found), list(found.touched), found.num_left_over, found.has_survived) == ([], [], 0, True)


@pytest.fixture(scope="module")
def attempts() -> tuple[str, ...]:
    """Attacks of which each kind of canary tells."""
    return ("read a secret", "make a file", "connect by TCP", "send by UDP", "connect by a Unix socket", "subprocess")


@pytest.mark.asyncio(loop_scope="session")
async def test_without_a_jail_the_canaries_sing(sandbox, make_job, attempts):
    with canaries() as around:
        heard = []
        for name in attempts:
            (hostile,) = [one for one in CORPUS if one.name == name]
            failure = (await sandbox.run(make_job(around.fill(hostile.source)))).failure
            heard.append(HARM in failure.message)
        assert all(heard)
        assert around.touched() == ["files", "tcp", "unix", "udp"]
