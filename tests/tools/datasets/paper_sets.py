"""The published sets at the settings of the paper."""

from __future__ import annotations

from pathlib import Path

from prompts.loader import load_pack
from tools.datasets.tasks import Task, load_task

TASKS = load_pack("vision").tasks


def load(name: str, data: Path, **changes: int | Path) -> Task:
    return load_task(name, data=data, defaults=TASKS[name], **changes)
