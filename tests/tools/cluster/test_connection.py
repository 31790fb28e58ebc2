"""What a training takes of a node, and the mistakes on the way to a cluster; no cluster is started."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import LabSettings
from tools.cluster.connection import Demand, connect


@pytest.mark.parametrize(
    ("settings", "resources", "places"),
    [
        ({"device": "cpu"}, {"CPU": 5.0, "GPU": 1.0}, 5),
        ({"device": "cpu", "threads": 2}, {"CPU": 5.0}, 2),
        ({"device": "cpu", "threads": 2}, {"CPU": 1.0}, 0),
        ({"device": "cpu"}, {}, 0),
        ({"device": "cuda"}, {"CPU": 16.0, "GPU": 4.0}, 8),
        ({"device": "cuda"}, {"CPU": 3.0, "GPU": 4.0}, 3),
        ({"device": "cuda"}, {"CPU": 16.0, "GPU": 2.0}, 4),
        ({"device": "cuda"}, {"CPU": 16.0}, 0),
    ],
)
def test_a_node_has_room_for_as_many_trainings_as_its_processors_and_streams_allow(settings, resources, places):
    demand = Demand.of(LabSettings(address="auto", **settings))
    assert demand.places(resources) == places


def test_a_gpu_is_shared_by_its_streams():
    assert Demand.of(LabSettings(address="auto", device="cuda")) == Demand(1, 0.5)
    assert Demand.of(LabSettings(address="auto", device="cpu", threads=3)) == Demand(3, 0)


def test_without_ray_an_address_is_a_wrong_setting(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"--lab.address: expected Ray, which is not installed; pip install"):
        connect(LabSettings(address="auto", device="cpu"))


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_where_no_cluster_is_an_address_is_a_wrong_setting(prefix):
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"{prefix}127.0.0.1:{port}"
    expected = f"--lab.address {address}: expected a Ray cluster with Ray "
    with pytest.raises(SettingsError, match=rf"^{expected}.*Connection refused.*; start one with: ray start --head$"):
        connect(LabSettings(address=address, device="cpu"))


def test_what_is_no_address_is_a_wrong_setting():
    pytest.importorskip("ray")
    with pytest.raises(SettingsError, match=r"^--lab.address nonsense: expected a Ray cluster .*nonsense"):
        connect(LabSettings(address="nonsense", device="cpu"))


def test_nobody_imports_ray_who_does_not_ask_for_it():
    code = "import sys, tools.lab, tools.slots, graphs.runtime.assembly; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
