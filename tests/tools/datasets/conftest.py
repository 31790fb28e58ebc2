"""An image folder to write, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prompts.loader import load_pack
from tests.tools.datasets.data_files import write_cifar10
from tools.datasets.tasks import Task, load_task

DEFAULTS = load_pack("vision").tasks["folder"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def load(tmp_path: Path, data: Path) -> Callable[..., Task]:
    """Loads the folder; images keep their number at this size."""

    def load(**changes: object) -> Task:
        settings = {"data": data, "image_size": 8, "cache": tmp_path / "cache", "defaults": DEFAULTS, **changes}
        return load_task("folder", **settings)

    return load


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    return write_cifar10(tmp_path)
