"""Slots of the lab: how many jobs run at once, what happens without memory, and how a lab stops."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from fairnad.errors import StoppingError
from fairnad.records.candidate import CheckReport, Evaluation, FailureKind
from tests.tools.quadrants import LATE, NETWORK, RECIPE, SETTINGS, make_split, make_task, misbehaving
from tools.lab import TorchLab

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("warm_fork_servers")]


def greedy(marks: Path) -> str:
    """Out of memory when it is trained for the first time; each time leaves a mark."""
    folder = str(marks)
    too_much = f"11 if len(os.listdir({folder!r})) == 1 else 1"
    how = f"import tempfile; tempfile.mkstemp(dir={folder!r}); torch.ones(10 ** ({too_much}))"
    return misbehaving("self.num_steps == 5 and self.training", how)


async def test_a_training_that_runs_out_of_memory_beside_another_is_tried_once_more(lab, tmp_path):
    neighbour = misbehaving("late and self.training", f"while not os.listdir({str(tmp_path)!r}): pass")
    for source in (neighbour, greedy(tmp_path)):
        await lab.check(source)  # so that both trainings begin at once
    results = await asyncio.gather(lab.train(neighbour, seed=0), lab.train(greedy(tmp_path), seed=0))
    assert [type(result) for result in results] == [Evaluation, Evaluation], results
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_training_that_runs_out_of_memory_alone_is_judged(lab, tmp_path):
    failure = await lab.train(greedy(tmp_path), seed=0)
    assert failure.kind is FailureKind.MEMORY
    assert len(list(tmp_path.iterdir())) == 1


async def test_one_that_never_fits_is_judged_after_it_was_alone(lab):
    big = misbehaving("late", "torch.ones(10 ** 11)")
    results = await asyncio.gather(*(lab.train(big, seed=seed) for seed in range(2)))
    assert [result.kind for result in results] == [FailureKind.MEMORY] * 2


async def test_a_training_has_the_threads_it_was_promised(make_lab, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    lab = await make_lab(slots=2, threads=2)
    told = await lab.train(misbehaving("late", "raise RuntimeError(torch.get_num_threads())"), seed=0)
    assert told.message.startswith("RuntimeError: 2 ")


async def test_no_more_trainings_run_at_a_time_than_there_are_slots(lab, tmp_path):
    # Each training leaves its mark while it runs, and fails where it meets more than one other's.
    source = NETWORK.replace(
        LATE,
        f"""        if late and self.training:
            import pathlib
            folder = pathlib.Path({str(tmp_path)!r})
            mark = folder / str(os.getpid())
            mark.touch()
            assert len(list(folder.iterdir())) <= 2
            mark.unlink()
{LATE}""",
    )
    results = await asyncio.gather(*(lab.train(source, seed=seed) for seed in range(5)))
    assert lab.num_slots == 2
    assert all(isinstance(result, Evaluation) for result in results)


async def test_a_lab_says_when_work_gets_its_slot(make_lab):
    lab = await make_lab(slots=1)
    inside, most = 0, []

    @contextlib.contextmanager
    def in_slot():
        nonlocal inside
        inside += 1
        most.append(inside)
        yield
        inside -= 1

    trained = await lab.retrain(NETWORK, seed=0, recipe=RECIPE, in_slot=in_slot)
    trainings = [lab.train(NETWORK, seed=seed, in_slot=in_slot) for seed in range(2)]
    await asyncio.gather(*trainings, lab.hold_out(NETWORK, trained.weights, seed=0, in_slot=in_slot))
    assert (most, inside) == ([1] * 4, 0)


async def test_a_check_does_not_wait_for_trainings(lab, tmp_path):
    marker = tmp_path / "checked"
    wait = misbehaving("late", f"while not os.path.exists({str(marker)!r}): pass")
    trainings = [asyncio.ensure_future(lab.train(wait, seed=seed)) for seed in range(3)]
    check = f"open({str(marker)!r}, 'w')\n" + NETWORK
    assert isinstance(await lab.check(check), CheckReport)
    assert all(isinstance(result, Evaluation) for result in await asyncio.gather(*trainings))


async def test_a_stopping_lab_begins_nothing_and_what_is_killed_stays_pending(tmp_path, pipe, ends):
    lab = TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, SETTINGS, tmp_path)
    await lab.start()
    go = tmp_path / "go"
    report = f"open({str(pipe.path)!r}, 'w').write(f'{{os.getpid()}}\\n')\n            while "
    bound_to_end = misbehaving("late and self.training", f"{report} not os.path.exists({str(go)!r}): pass")
    endless = misbehaving("late and self.training", f"{report} True: pass")
    await lab.check(NETWORK)
    ending, killed = (asyncio.ensure_future(lab.train(source, seed=0)) for source in (bound_to_end, endless))
    pids = await asyncio.to_thread(pipe.read_ids, 2)
    queued = asyncio.ensure_future(lab.train(NETWORK, seed=0))
    lab.stop()
    with pytest.raises(StoppingError, match="the check did not start"):
        await lab.check(NETWORK + "#")
    go.touch()
    assert isinstance(await ending, Evaluation)
    with pytest.raises(StoppingError, match="the training did not start"):
        await queued
    await lab.kill_jobs()
    with pytest.raises(StoppingError, match="the train job was killed"):
        await killed
    assert all(ends(pid) for pid in pids)
    await lab.close()
