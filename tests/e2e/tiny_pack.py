"""A pack with a task that trains in a second."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.e2e.networks import network

TASKS = """
[digits]
base = "tiny"
recipe = "quick"
max_params = 2500
max_flops = 1e6
image_size = 8
num_train = 60
num_validation = 200
flip_probability = 0.0
crop_padding = 0
"""


def write_pack(folder: Path) -> Path:
    """The vision pack with a tiny task and a tiny base of 1,506 parameters, as the folder ``folder``."""
    shutil.copytree(Path("prompts/vision"), folder)
    (folder / "tasks.toml").write_text(TASKS)
    (folder / "models" / "tiny.py").write_text(network())
    return folder
