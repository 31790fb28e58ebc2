"""Devices, and who holds them; no job is run and no GPU is needed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import LabSettings
from tools import slots
from tools.sandbox.supervisor import Sandbox
from tools.slots import LocalSite, Slot, device_name, environment, local_devices


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(slots, "_num_gpus", lambda: 2)


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})


def make_site(*devices: str) -> LocalSite:
    return LocalSite(Sandbox(Path("never-started")), devices)


async def hold(site: LocalSite, stack: AsyncExitStack, *, alone: bool = False) -> Slot:
    return await asyncio.wait_for(stack.enter_async_context(site.hold(alone=alone)), 10)


async def all_waits_are_taken_up() -> None:
    """Run everything that can run, until all others wait."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_environment_names_what_changes_numbers():
    assert environment(LabSettings(device="cpu")).startswith("torch 2.")
    assert environment(LabSettings(device="cpu")).endswith(" cpu 1 thread")
    assert environment(LabSettings(device="cpu", threads=3)).endswith(" cpu 3 threads")
    assert environment(LabSettings(device="cuda", address="auto")).endswith(" cuda 1 thread")


def test_a_gpu_that_is_not_there_is_a_wrong_setting(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SettingsError, match=r"--lab.device cuda: expected an NVIDIA GPU, found no /dev/nvidia0"):
        device_name(LabSettings(device="cuda"))
    assert device_name(LabSettings()) == "cpu"


def test_a_gpu_is_taken_where_there_is_one(two_gpus):
    assert device_name(LabSettings()) == device_name(LabSettings(device="cuda")) == "cuda"
    assert device_name(LabSettings(device="cpu")) == "cpu"


def test_the_nodes_of_a_cluster_are_not_guessed_at():
    with pytest.raises(SettingsError, match=r"--lab.device: expected cpu or cuda beside --lab.address, found auto"):
        device_name(LabSettings(address="auto"))


def test_two_trainings_share_a_gpu_and_take_turns_unless_told_otherwise(two_gpus):
    assert local_devices(LabSettings()) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert local_devices(LabSettings(slots=3)) == ["cuda:0", "cuda:1", "cuda:0"]
    assert local_devices(LabSettings(slots=2)) == ["cuda:0", "cuda:1"]
    assert local_devices(LabSettings(slots=5)) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]


def test_there_is_a_slot_for_each_core_unless_set(three_cores):
    assert local_devices(LabSettings(device="cpu")) == ["cpu"] * 3
    assert local_devices(LabSettings(device="cpu", slots=5)) == ["cpu"] * 5


def test_the_threads_of_all_slots_have_a_core_each(three_cores):
    assert local_devices(LabSettings(device="cpu", threads=2)) == ["cpu"]
    assert local_devices(LabSettings(device="cpu", threads=3)) == ["cpu"]
    with pytest.raises(
        SettingsError, match=r"--lab.threads 2: expected up to 3 threads in total, one per core, found 4"
    ):
        local_devices(LabSettings(device="cpu", threads=2, slots=2))
    with pytest.raises(SettingsError, match=r"--lab.threads 4: expected up to 3 threads"):
        local_devices(LabSettings(device="cpu", threads=4))


async def test_trainings_spread_over_the_devices_before_they_share_one():
    async with AsyncExitStack() as stack:
        site = make_site("cuda:0", "cuda:1", "cuda:0", "cuda:1")
        assert site.num_slots == 4
        first, second = await hold(site, stack), await hold(site, stack)
        assert {first.device, second.device} == {"cuda:0", "cuda:1"}
        assert not first.was_shared and not second.was_shared
        third = await hold(site, stack)
        assert third.was_shared
        assert [slot.was_shared for slot in (first, second)] == [
            slot.device == third.device for slot in (first, second)
        ]


async def test_who_has_shared_a_device_has_shared_it_for_good():
    site = make_site("cuda:0", "cuda:0")
    async with AsyncExitStack() as stack:
        stayed = await hold(site, stack)
        async with site.hold() as gone:
            assert gone.was_shared
        assert stayed.was_shared
    async with site.hold() as later:
        assert not later.was_shared


async def test_a_full_site_is_waited_for_in_turn():
    site, order = make_site("cpu"), []

    async def work(name: str) -> None:
        async with site.hold():
            order.append(name)

    async with site.hold():
        waiting = [asyncio.create_task(work(name)) for name in "abc"]
        await all_waits_are_taken_up()
        assert order == []
    await asyncio.gather(*waiting)
    assert order == ["a", "b", "c"]


async def test_alone_waits_for_the_others_of_one_device_and_keeps_new_ones_off_it():
    site = make_site("cuda:0", "cuda:0", "cuda:1", "cuda:1")
    async with AsyncExitStack() as others, AsyncExitStack() as end:
        busy = [await hold(site, others) for _ in range(3)]
        alone = asyncio.create_task(hold(site, end, alone=True))
        await all_waits_are_taken_up()
        assert not alone.done()
        (least,) = {"cuda:0", "cuda:1"} - {slot.device for slot in busy if slot.was_shared}
        newcomer = asyncio.create_task(hold(site, end))
        await all_waits_are_taken_up()
        assert not newcomer.done(), f"the free stream of {least} is kept"
        await others.aclose()
        slot = await alone
        assert (slot.device, slot.was_shared) == (least, False)
        assert (await newcomer).device != least
    async with AsyncExitStack() as stack:
        assert {(await hold(site, stack)).device for _ in range(4)} == {"cuda:0", "cuda:1"}, "all is free again"


async def test_who_gives_up_waiting_to_be_alone_lets_the_others_in_again():
    site = make_site("cpu", "cpu")
    async with site.hold(), AsyncExitStack() as stack:
        alone = asyncio.create_task(hold(site, stack, alone=True))
        newcomer = asyncio.create_task(hold(site, stack))
        await all_waits_are_taken_up()
        assert not newcomer.done()
        alone.cancel()
        assert (await newcomer).device == "cpu"
