"""Killed, stopped, unplugged: the same command goes on, and nothing is lost, doubled or paid for twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing

import pytest

from fairnad.records.candidate import Step
from graphs.cli.runner import run
from graphs.cli.search_command import main, parse
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.killing import SMALL, Counted, Done, Endless, read_lines, start, wait_for
from tests.e2e.networks import UNJAILED
from tests.e2e.sameness import same
from tests.e2e.scripts import lively
from tests.openai_server import ScriptedServer


def test_the_same_seed_and_replies_give_the_same_history_with_any_number_of_slots(context, history):
    with ScriptedServer(lively) as server:
        for name, slots in (("one", 1), ("two", 2)):
            assert run(context(run=name, **{**SMALL, "llm.base_url": server.url, "lab.slots": slots})) == 0
    assert same(history("one")) == same(history("two"))
    stages = {record.stage for record in history("one").records}
    assert stages == {"base", "initial", "fair", "pareto", "refine"}


def test_a_finished_search_goes_on_with_more_archs_and_refuses_other_changes(context, history, capsys):
    with ScriptedServer(lively) as server:
        settings = {**SMALL, "llm.base_url": server.url, "archs": 5}
        assert run(context(**settings)) == 0
        num_requests, first = server.num_requests, same(history())
        assert run(context(**settings)) == 0
        assert server.num_requests == num_requests, "a finished search asks nothing"
        assert run(context(**{**settings, "archs": 14})) == 0
    assert len(history().trained) == 14
    longer = same(history())
    assert all(record in longer for record in first)


def test_kill_nine_at_ten_moments_loses_nothing_and_repeats_nothing(flags, history, tmp_path):
    generator, script, folder = random.Random(1), Counted(tmp_path / "trainings"), tmp_path / "runs" / "test"
    with ScriptedServer(script) as server:
        told = flags(**{**SMALL, **UNJAILED, "llm.base_url": server.url})
        done, trainings, asked = Done.read(folder), Counter[str](), Counter[str]()
        for number in range(11):
            process = start(told)
            if number < 10:
                read_lines(process, generator.randint(1, 5))
                process.send_signal(signal.SIGKILL)
            output, _ = process.communicate()
            assert process.returncode == (-signal.SIGKILL if number < 10 else 0), output
            for tag in done.trained - {""}:
                assert script.trainings()[tag] == trainings[tag], "a finished training was repeated"
            for text in done.answered:
                assert server.asked[text] == asked[text], "an answered call was repeated"
            before, done = done, Done.read(folder)
            assert set(before.recorded) <= set(done.recorded), "a record was lost"
            assert len(done.recorded) == len(set(done.recorded)), "a record is there twice"
            trainings, asked = script.trainings(), Counter(server.asked)
        killed = same(history())
        assert run(parse([*told, "--run", "whole"])) == 0
    assert killed == same(history("whole"))


def test_a_stopped_search_kills_its_jobs_after_their_grace_and_can_be_resumed(flags, history, tmp_path):
    began = tmp_path / "began"
    with ScriptedServer(Endless(began)) as server:
        told = flags(**{**UNJAILED, "llm.model": "scripted", "llm.base_url": server.url, "grace_seconds": 0.2})
        process = start(told)
        wait_for(began)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGINT
        assert "stopping: running jobs get 0.2 s (--grace-seconds)" in output
        assert "Run the same command again to resume" in output
        assert [record.stage for record in history().records] == ["base"], "the killed candidate stays pending"
        began.unlink()
        num_requests = server.num_requests
        process = start([*told, "--grace-seconds", "600"])
        wait_for(began)
        process.send_signal(signal.SIGINT)
        while not any(line.startswith("stopping: ") for line in read_lines(process, 1)):
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0] == "stopped at once; the same command resumes the run\n"
        assert process.returncode == 128 + signal.SIGTERM
        assert server.num_requests == num_requests, "no answered call was repeated"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_search_is_stopped_in_one_line_also_before_it_begins(flags, tmp_path, number):
    process = start(flags())
    assert read_lines(process, 1)[0].startswith("FairNAD: ")
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (128 + number, "stopped before the search started\n")


def test_a_search_that_lost_its_checkpoints_repeats_nothing(flags, history, capsys, tmp_path):
    told, checkpoints = flags(archs=2, **{"search.initial": 2}), tmp_path / "runs" / "test" / "checkpoints.sqlite"
    assert main(told) == 0
    records = history().records
    for suffix in ("-wal", "-shm"):
        checkpoints.with_name(checkpoints.name + suffix).unlink(missing_ok=True)
    checkpoints.write_bytes(b"rubbish " * 1000)
    capsys.readouterr()
    assert main(told) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "remove it: the search then continues from its history and repeats no recorded work" in error
    checkpoints.unlink()
    assert main(told) == 0
    assert history().records == records


def test_a_training_that_ends_within_the_grace_is_kept(flags, history, tmp_path):
    began = tmp_path / "began"
    with ScriptedServer(Endless(began, num_seconds=1)) as server:
        settings = {"llm.model": "scripted", "llm.base_url": server.url, "grace_seconds": 60, "archs": 2}
        told = flags(**{**UNJAILED, **settings})
        process = start(told)
        wait_for(began)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 143, output
    with closing(SqliteHistory(tmp_path / "runs" / "test" / FILE_NAME, read_only=True)) as store:
        assert store.find_step("g00-initial-r1-s00-d0", Step.TRAIN, 0) is not None


def test_an_endpoint_that_goes_down_ends_the_search_in_one_line_and_the_search_goes_on_when_it_is_back(
    flags, history, tmp_path
):
    command = [sys.executable, "tests/openai_server.py", "--script", "tests.e2e.scripts:lively"]
    endpoint = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    (url,) = read_lines(endpoint, 1)
    settings = {**SMALL, "llm.base_url": url.strip(), "llm.max_retries": 0}
    process = start(flags(**settings))
    while not any("g00-initial" in line for line in read_lines(process, 1)):
        assert process.poll() is None
    endpoint.kill()
    endpoint.communicate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = [line for line in output.splitlines() if line.startswith("stopped: ")]
    assert "nothing is lost; run the same command again to resume" in line
    assert "Traceback" not in output
    before = same(history())
    with ScriptedServer(lively) as server:
        assert run(parse(flags(**{**settings, "llm.base_url": server.url}))) == 0
    assert all(record in same(history()) for record in before)
    assert len(history().trained) == SMALL["archs"]


def test_a_search_ends_in_one_line_when_nobody_reads_its_output_and_goes_on(flags, history):
    command = [sys.executable, "-m", "graphs.search", *flags()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith("FairNAD: ")
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE
    assert error.splitlines()[-1] == "stopped: the output was closed; the same command continues"
    assert main(flags()) == 0
    assert len(history().trained) == 1
