"""What a training takes of a node, and the mistakes on the way to a cluster; no cluster is started."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fairnad.errors import SettingsError
from fairnad.settings import LabSettings
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
        ({"device": "cuda", "streams_per_gpu": 3}, {"CPU": 16.0, "GPU": 2.0}, 6),
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


def test_where_no_cluster_is_an_address_is_a_wrong_setting(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(
        SettingsError, match=r"--lab.address auto: expected a Ray cluster .* ray start --head"
    ) as raised:
        connect(LabSettings(address="auto", device="cpu"))
    assert "\n" not in str(raised.value)


def test_nobody_imports_ray_who_does_not_ask_for_it():
    code = "import sys, tools.lab, tools.slots, graphs.assembly; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
