"""Every kind of job does its work behind the walls: check, train, predict, export, infer, try out."""

from __future__ import annotations

import asyncio

import pytest

from fairnad.records.candidate import Evaluation, Failure
from fairnad.settings.search_settings import LabSettings
from tests.tools.quadrants import NETWORK, RECIPE, make_split, make_task
from tools.exporter import Onnx, TrainedNetwork
from tools.lab import TorchLab
from tools.sandbox.isolation import Level, SandboxFolders, find_obstacle

PLAIN = NETWORK.replace("and len(x) > 40", "").replace("import os\n", "")
PROGRAM = """
import json, sys
import torch
from PIL import Image
from safetensors.torch import load_file

images = [Image.open(name).convert("RGB") for name in sys.argv[2:]]
load_file("weights.safetensors")
uniform = [{"label": label, "probability": 0.25} for label in LABELS]
print(json.dumps([{"predictions": uniform} for _ in images]))
"""


@pytest.mark.parametrize("level", ["A", "C"])
async def test_every_job_does_its_work_in_the_jail(level, tmp_path):
    if obstacle := find_obstacle(Level(level), SandboxFolders(tmp_path, tmp_path)):
        pytest.skip(obstacle)
    settings = LabSettings(slots=2, device="cpu", memory=1e9, isolation=level)
    task = make_task(lambda: make_split(40, 2))
    lab = TorchLab(task, RECIPE, settings, tmp_path)
    await lab.start()
    try:
        assert lab.isolation == level
        trained, again = await asyncio.gather(*(lab.retrain(PLAIN, seed=0, recipe=RECIPE) for _ in range(2)))
        assert isinstance(trained.evaluation, Evaluation)
        assert trained.evaluation.isolation == level
        assert trained.weights == again.weights
        assert await lab.hold_out(PLAIN, trained.weights, seed=0) > 0.5
        network = TrainedNetwork(PLAIN, trained.weights, seed=0)
        assert isinstance(await lab.exporter.to_onnx(network), Onnx)
        files = {
            "best.py": PROGRAM.replace("LABELS", repr(list(task.class_names))).encode(),
            "weights.safetensors": trained.weights,
        }
        tried = await lab.exporter.try_out(network, "best.py", files)
        assert isinstance(tried, Failure)
        assert tried.message.startswith("its probabilities differ from the lab's by up to "), "it ran, and said so"
    finally:
        await lab.close()


async def test_the_same_weights_with_and_without_a_jail(tmp_path):
    weights = []
    for level in ("auto", "E"):
        (tmp_path / level).mkdir()
        settings = LabSettings(slots=1, device="cpu", memory=1e9, isolation=level)
        lab = TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, settings, tmp_path / level)
        await lab.start()
        try:
            weights.append((await lab.retrain(PLAIN, seed=0, recipe=RECIPE)).weights)
        finally:
            await lab.close()
    assert weights[0] == weights[1]
