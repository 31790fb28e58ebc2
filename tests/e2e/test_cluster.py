"""Trainings on a Ray cluster that is started here: nodes of one processor each, which die and join.

Left out of ``make test``, as a cluster takes a minute of processor time; ``make test-cluster`` runs it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fairnad.errors import LabError, SettingsError, StoppingError
from fairnad.records.candidate import Evaluation, Failure, FailureKind
from graphs.cli.runner import run
from tests.e2e.sameness import same
from tests.e2e.scripts import lively
from tests.openai_server import Reply, Request, ScriptedServer
from tests.tools.quadrants import NETWORK, RECIPE, SETTINGS, make_split, make_task, misbehaving
from tools.lab import TorchLab

ray = pytest.importorskip("ray", reason="the extra 'cluster' is not installed")
pytestmark = pytest.mark.cluster

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head node; tests add others and remove them again."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def second_node(cluster: Any) -> Iterator[Any]:
    node = cluster.add_node(**NODE)
    yield node
    if node in cluster.list_all_nodes():
        cluster.remove_node(node)


MakeLab = Callable[..., Awaitable[TorchLab]]


@pytest_asyncio.fixture
async def make_lab(tmp_path: Path) -> AsyncIterator[MakeLab]:
    """Makes and starts labs that are closed at the end."""
    labs: list[TorchLab] = []

    async def make(**changes: object) -> TorchLab:
        settings = SETTINGS.model_copy(update={"slots": 0, "train_seconds": 60, **changes})
        labs.append(TorchLab(make_task(lambda: make_split(40, 2)), RECIPE, settings, tmp_path / f"lab-{len(labs)}"))
        await labs[-1].start()
        return labs[-1]

    yield make
    for lab in labs:
        await lab.close()


class Held:
    """A source whose trainings say when they have begun, and wait until they may go on."""

    def __init__(self, folder: Path) -> None:
        pipe, self._go = folder / "pipe", folder / "go"
        os.mkfifo(pipe)
        # Opened for both, so that opening does not wait and reading never sees an end.
        self._pipe = os.open(pipe, os.O_RDWR)
        begin = f"open({str(pipe)!r}, 'w').write('x')"
        wait = f"\n            while not os.path.exists({str(self._go)!r}): pass"
        self.source = misbehaving("self.num_steps == 5 and self.training", begin + wait)

    async def begin(self, times: int) -> None:
        """Wait until so many more trainings have begun."""
        async with asyncio.timeout(120):
            for _ in range(times):
                await asyncio.to_thread(os.read, self._pipe, 1)

    def let_go(self) -> None:
        self._go.touch()


async def test_a_cluster_trains_as_this_machine_does(cluster, second_node, make_lab):
    local, remote = await make_lab(slots=2), await make_lab(address=cluster.address, validate_every=2)
    assert remote.num_slots == 2
    sources = [NETWORK, NETWORK.replace("3, padding=1", "5, padding=2"), misbehaving("late", "1 / 0")]
    results = await asyncio.gather(*(remote.train(source, seed=3) for source in sources))
    assert [result.curve for result in results[:2]] == [((2, result.curve[0][1]),) for result in results[:2]]
    curious = await make_lab(slots=2, validate_every=2)
    assert results == await asyncio.gather(*(curious.train(source, seed=3) for source in sources))
    trained = await local.retrain(NETWORK, seed=0, recipe=RECIPE)
    assert await remote.hold_out(NETWORK, trained.weights, seed=0) == await local.hold_out(
        NETWORK, trained.weights, seed=0
    )


async def test_a_job_that_is_lost_with_its_node_runs_again_and_a_node_that_joins_is_used(
    cluster, second_node, make_lab, tmp_path
):
    lab, held = await make_lab(address=cluster.address), Held(tmp_path)
    trainings = [asyncio.create_task(lab.train(held.source, seed=seed)) for seed in range(2)]
    await held.begin(2)
    cluster.remove_node(second_node, allow_graceful=False)
    third = cluster.add_node(**NODE)
    await held.begin(1)
    held.let_go()
    results = await asyncio.gather(*trainings)
    assert all(isinstance(result, Evaluation) for result in results)
    assert lab.num_slots == 2
    cluster.remove_node(third)


async def test_what_is_stopped_or_killed_ends_everywhere(cluster, make_lab, tmp_path):
    lab, held = await make_lab(address=cluster.address), Held(tmp_path)
    cancelled = asyncio.create_task(lab.train(held.source, seed=0))
    await held.begin(1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    killed = asyncio.create_task(lab.train(held.source, seed=1))
    await held.begin(1)
    await lab.kill_jobs()
    with pytest.raises(StoppingError):
        await killed


async def test_limits_hold_on_a_node(cluster, make_lab):
    lab = await make_lab(address=cluster.address, train_seconds=1)
    failure = await lab.train(misbehaving("late", "while True: pass"), seed=0)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.TIMEOUT


async def test_a_signal_still_asks_this_process_to_stop(cluster, make_lab):
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:
        await make_lab(address=cluster.address)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(asked.wait(), 30)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_a_cluster_without_room_is_a_wrong_setting(cluster, make_lab):
    with pytest.raises(SettingsError, match=r"expected a node with 64 free CPUs, found none; add one with: ray start"):
        await make_lab(address=cluster.address, threads=64)


async def test_a_node_with_another_torch_is_refused(cluster, make_lab, monkeypatch):
    monkeypatch.setattr("tools.cluster.ray_site.version", lambda package: "0.1")
    with pytest.raises(
        SettingsError, match=r"^node [0-9a-f]+: expected torch 0.1 as here, found 2\..*; install the same"
    ):
        await make_lab(address=cluster.address)


async def test_a_job_that_takes_its_node_with_it_each_time_is_not_run_for_ever(cluster, make_lab):
    lab = await make_lab(address=cluster.address)
    server = "int(open(f'/proc/{os.getppid()}/stat').read().split()[3])"
    killer = misbehaving("self.num_steps == 5 and self.training", f"os.kill({server}, 9); os.kill(os.getppid(), 9)")
    with pytest.raises(LabError, match=r"a train job was lost 5 times with the node it ran on \("):
        await lab.train(killer, seed=0)


def test_a_search_that_loses_a_node_has_the_history_of_one_on_this_machine(cluster, second_node, context, history):
    small = {"archs": 6, "search.initial": 2, "search.fair": 2, "search.pareto": 2, "search.refine": 0}
    asked: list[Request] = []

    def deadly(request: Request) -> Reply:
        asked.append(request)
        if len(asked) == 6:
            cluster.remove_node(second_node, allow_graceful=False)
        return lively(request)

    settings = {**small, "llm.model": "scripted", "lab.device": "cpu"}
    with ScriptedServer(lively) as server:
        assert run(context(run="local", **{**settings, "llm.base_url": server.url})) == 0
    with ScriptedServer(deadly) as server:
        address = {"llm.base_url": server.url, "lab.address": cluster.address, "lab.slots": 0}
        assert run(context(run="cluster", **{**settings, **address})) == 0
    assert len(asked) >= 6
    assert same(history("cluster")) == same(history("local"))
