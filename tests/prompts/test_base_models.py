"""The pack's base models, each of which is the start of a search."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import prompts.loader
from fairnad.domain.budget import Budget, has_room, within
from fairnad.domain.contract import Contract
from fairnad.domain.recipe import RECIPES
from prompts.loader import load_pack
from tools.budget_evaluator import count_params, flop_count
from tools.jobs.network_source import build_network

MODELS = Path(prompts.loader.__file__).parent / "vision" / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.py"))
TASKS = load_pack("vision").tasks
CELL_4711_PARAMS, CELL_4711_MACS = 107_156, 11_721_060
"""What NAS-Bench-201 lists for its cell 4711 on CIFAR-100."""


def build(name: str, num_classes: int = 10, image_size: int = 32) -> nn.Module:
    source = (MODELS / f"{name}.py").read_text(encoding="utf-8")
    return build_network(source, Contract.for_images(image_size, num_classes), seed=0)


def count_flops(network: nn.Module, image_size: int) -> int:
    return flop_count(network, torch.zeros(1, 3, image_size, image_size)).total


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
    assert {"Stem", "BaseBlock", "SEBlock", "Network"} <= classes
    network = build(name)
    parts = [part for part, _ in network.named_children()]
    stages = [part for part in parts if part.startswith("layers")]
    assert stages == [f"layers{number}" for number in range(1, len(stages) + 1)]
    assert parts[: len(stages) + 1] == ["stem", *stages]
    assert parts[-2:] == ["pool", "head"]
    assert isinstance(network.head, nn.Linear)
    for stage in stages:
        assert "BaseBlock" in {type(module).__name__ for module in getattr(network, stage).modules()}
    assert sum(len(getattr(network, stage)) > 1 for stage in stages) >= 3, "stages repeat their block"


@pytest.mark.parametrize(
    ("name", "params", "gflops"),
    [("nasbench201_random", 1.47, 0.17), ("mobilenetv2_05", 0.82, 0.01), ("shufflenetv2_05", 0.44, 0.01)],
)
def test_a_model_of_the_papers_costs_what_table_8_states(name: str, params: float, gflops: float) -> None:
    network = build(name, num_classes=100)
    assert round(count_params(network) / 1e6, 2) == params
    assert round(count_flops(network, 32) / 1e9, 2) == gflops


@pytest.mark.parametrize(
    ("name", "original", "changes"),
    [("mobilenetv2_05", "mobilenet_v2", {"width_mult": 0.5}), ("shufflenetv2_05", "shufflenet_v2_x0_5", {})],
)
def test_a_model_has_the_layers_of_the_original(name: str, original: str, changes: dict[str, float]) -> None:
    import torchvision

    reference = getattr(torchvision.models, original)(num_classes=100, **changes)
    assert _layers(build(name, num_classes=100)) == _layers(reference)


def _layers(network: nn.Module) -> Counter[tuple[object, ...]]:
    """Every convolution, norm and linear layer by its shape; strides, which differ for small images, are left out."""
    weights = (module.weight for module in network.modules() if hasattr(module, "weight"))
    return Counter(tuple(weight.shape) for weight in weights)


def test_the_cell_network_is_that_of_nas_bench_201() -> None:
    """With the benchmark's 16 channels it has the parameters and multiply-adds that are listed for its cell."""
    source = (MODELS / "nasbench201_random.py").read_text(encoding="utf-8")
    for width, original in ((244, 64), (122, 32), (61, 16)):
        source = re.sub(rf"\b{width}\b", str(original), source)
    network = build_network(source, Contract.for_images(32, 100), seed=0)
    assert count_params(network) == CELL_4711_PARAMS
    macs: list[int] = []

    def count(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        num_outputs = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1
        macs.append(num_outputs * sum(parameter.numel() for parameter in layer.parameters()))

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(torch.rand(1, 3, 32, 32))
    assert sum(macs) == CELL_4711_MACS


@pytest.mark.parametrize(
    ("name", "image_size", "params", "flops"),
    [("resnet32", 32, 466_906, 69_759_616), ("small_resnet", 16, 5_390, 360_912)],
)
def test_a_model_costs_what_it_always_did(name: str, image_size: int, params: int, flops: int) -> None:
    network = build(name)
    assert (count_params(network), count_flops(network, image_size)) == (
        params,
        flops,
    )


@pytest.mark.parametrize("task", [name for name, defaults in TASKS.items() if defaults.max_params])
def test_a_tasks_base_leaves_room_under_its_limits(task: str) -> None:
    defaults = TASKS[task]
    network = build(defaults.base, image_size=defaults.image_size)
    costs = {
        "params": count_params(network),
        "flops": count_flops(network, defaults.image_size),
    }
    budgets = [Budget("params", "parameters", defaults.max_params), Budget("flops", "FLOPs", defaults.max_flops)]
    assert within(costs, budgets)
    assert has_room(costs, budgets, 1 / 2, when_all=True), "the base should be free to grow to twice its costs"
