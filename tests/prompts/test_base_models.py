"""The pack's base models, each of which is the start of a search."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import prompts.loader
from fairnad.budget import Budget, has_room, within
from fairnad.recipe import RECIPES
from prompts.loader import load_pack
from tools.budget_evaluator import count_flops, count_params
from tools.network_source import build_network

MODELS = Path(prompts.loader.__file__).parent / "vision" / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.py"))
TASKS = load_pack("vision").tasks


def build(name: str, num_classes: int = 10, image_size: int = 32) -> nn.Module:
    source = (MODELS / f"{name}.py").read_text(encoding="utf-8")
    return build_network(source, num_classes=num_classes, image_size=image_size, seed=0)


def test_the_models_the_tasks_name_are_there() -> None:
    assert {task.base for task in TASKS.values()} <= set(NAMES)
    assert {task.recipe for task in TASKS.values()} <= set(RECIPES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("image_size", "num_classes"), [(8, 2), (16, 10), (28, 10), (32, 100)])
def test_a_model_takes_images_of_every_size(name: str, image_size: int, num_classes: int) -> None:
    network = build(name, num_classes)
    images = torch.rand(3, 3, image_size, image_size)
    for training in (True, False):
        logits = network.train(training)(images)
        assert logits.shape == (3, num_classes)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_of_a_model_is_trained(name: str) -> None:
    network = build(name)
    F.cross_entropy(network(torch.rand(4, 3, 16, 16)), torch.arange(4)).backward()
    idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert not idle


@pytest.mark.parametrize("name", NAMES)
def test_a_model_has_the_form_the_mutations_know(name: str) -> None:
    tree = ast.parse((MODELS / f"{name}.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {"Stem", "BaseBlock", "DownsampleBlock", "Network"} <= classes
    network = build(name)
    parts = [part for part, _ in network.named_children()]
    assert parts == ["stem", "layers1", "layers2", "layers3", "pool", "head"]
    for stage in (network.layers1, network.layers2, network.layers3):
        assert len(stage) >= 2, "a stage repeats its block"
        assert {type(block).__name__ for block in stage} == {"BaseBlock"}


@pytest.mark.parametrize(
    ("name", "image_size", "params", "flops"),
    [("resnet32", 32, 466_906, 69_759_616), ("small_resnet", 16, 11_374, 455_584)],
)
def test_a_model_costs_what_it_always_did(name: str, image_size: int, params: int, flops: int) -> None:
    network = build(name)
    assert (count_params(network), count_flops(network, image_size)) == (params, flops)


@pytest.mark.parametrize("task", [name for name, defaults in TASKS.items() if defaults.max_params])
def test_a_tasks_base_leaves_room_under_its_limits(task: str) -> None:
    defaults = TASKS[task]
    network = build(defaults.base, image_size=defaults.image_size)
    costs = {"params": count_params(network), "flops": count_flops(network, defaults.image_size)}
    budgets = [Budget("params", "parameters", defaults.max_params), Budget("flops", "FLOPs", defaults.max_flops)]
    assert within(costs, budgets)
    assert has_room(costs, budgets, 1 / 2, when_all=True), "the base should be free to grow to twice its costs"
