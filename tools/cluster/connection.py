"""Connects to a Ray cluster and counts its slots."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fairnad.errors import SettingsError
from fairnad.settings.search_settings import LabSettings
from tools.slots import TRAININGS_PER_GPU

_CHECKOUT = Path(__file__).resolve().parents[2]
_SHIPPED = ("fairnad", "tools")
_REACH_SECONDS = 10


def import_ray() -> Any:
    """Import ``ray``, which takes half a second, only when it is used.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            "--lab.address: expected Ray, which is not installed; pip install '.[cluster]', or omit --lab.address"
        ) from error
    return ray


@dataclass(frozen=True, slots=True)
class Demand:
    """Resources of one training: processors, and a share of a GPU."""

    num_cpus: int
    num_gpus: float

    @classmethod
    def of(cls, settings: LabSettings) -> Demand:
        """The demand with these settings; streams share a GPU equally."""
        return cls(settings.threads, 1 / TRAININGS_PER_GPU if settings.device == "cuda" else 0)

    def places(self, resources: Mapping[str, float]) -> int:
        """The number of trainings that fit a node with these resources."""
        places = int(resources.get("CPU", 0) // self.num_cpus)
        return min(places, int(resources.get("GPU", 0) / self.num_gpus)) if self.num_gpus else places


def connect(settings: LabSettings) -> Any:
    """Connect to the cluster, once, and ship this checkout's code to its nodes.

    Raises:
        SettingsError: Ray is not installed, or there is no cluster at the address.
    """
    ray = import_ray()
    if ray.is_initialized():
        return ray
    with _shipment() as folder:
        try:
            _reach(settings.address)
            ray.init(
                address=settings.address,
                runtime_env={"working_dir": str(folder)},
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SettingsError(
                f"--lab.address {settings.address}: expected a Ray cluster with Ray {version('ray')}, found none "
                f"({reason}); start one with: ray start --head"
            ) from error
    return ray


def _reach(address: str) -> None:
    """Check that the address accepts connections; Ray would retry for minutes.

    Raises:
        OSError: it does not.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()


def find_places(ray: Any, demand: Demand) -> dict[str, int]:
    """The number of trainings that fit each living node, by node id; without nodes that have no room."""
    nodes = [(node["NodeID"], demand.places(node["Resources"])) for node in ray.nodes() if node["Alive"]]
    return {node_id: places for node_id, places in nodes if places}


def count_slots(settings: LabSettings) -> int:
    """The number of trainings the cluster can run at a time, limited by the settings.

    Raises:
        SettingsError: there is no cluster at the address.
    """
    ray = connect(settings)
    num_places = sum(find_places(ray, Demand.of(settings)).values())
    return min(settings.slots or num_places, num_places)


@contextlib.contextmanager
def _shipment() -> Iterator[Path]:
    """A temporary folder with the code for the nodes."""
    with tempfile.TemporaryDirectory(prefix="fairnad-") as name:
        for package in _SHIPPED:
            shutil.copytree(_CHECKOUT / package, Path(name) / package, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(name)
