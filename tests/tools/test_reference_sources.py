"""Reference models are read from installed packages, trimmed, without importing or running anything."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from fairnad.ideas.knowledge import Problem, ProblemKind, ReferenceModel
from prompts.knowledge_pack import Reference, load_knowledge_pack
from tools.reference_sources import read_reference

REFERENCES = load_knowledge_pack("vision").references


@pytest.fixture(scope="module")
def sources() -> dict[str, list[ReferenceModel]]:
    found = {
        reference.name: read_reference(reference.name, reference.module, reference.entries, 24_000)
        for reference in REFERENCES
    }
    assert not [problem for problem in found.values() if isinstance(problem, Problem)]
    return {name: parts for name, parts in found.items() if not isinstance(parts, Problem)}


def test_all_fourteen_are_there(sources: dict[str, list[ReferenceModel]]) -> None:
    assert len(sources) == 14


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ResNet", ["class Bottleneck", "def conv3x3", "class ResNet"]),
        ("MobileNetV3", ["class InvertedResidual", "class SqueezeExcitation", "class Conv2dNormActivation"]),
        ("Swin Transformer", ["class ShiftedWindowAttention", "class PatchMerging", "class StochasticDepth"]),
        ("MLP-Mixer", ["class MixerBlock", "class Mlp"]),
        ("LeViT", ["class Attention", "class Levit"]),
        ("EfficientViT", ["class LiteMLA"]),
        ("MobileViT", ["class MobileVitBlock"]),
    ],
)
def test_classes_and_their_helpers_are_shown(
    sources: dict[str, list[ReferenceModel]], name: str, shown: list[str]
) -> None:
    code = "\n".join(part.code for part in sources[name])
    assert [sign for sign in shown if sign not in code] == []


def test_what_is_not_architecture_is_left_out(sources: dict[str, list[ReferenceModel]]) -> None:
    for parts in sources.values():
        code = "\n".join(part.code for part in parts)
        assert '"""' not in code
        assert "_log_api_usage_once(" not in code
        for sign in ("class ResNet50_Weights", "default_cfgs =", "def load_pretrained", "def _init_weights"):
            assert sign not in code


def test_parts_keep_their_limit_and_classes_whole_where_they_fit() -> None:
    reference = next(entry for entry in REFERENCES if entry.name == "Swin Transformer")
    parts = read_reference(reference.name, reference.module, reference.entries, 6_000)
    assert not isinstance(parts, Problem)
    assert len(parts) > 1
    assert [part.part for part in parts] == list(range(len(parts)))
    for part in parts:
        assert len(part.code) <= 6_000
        ast.parse(part.code)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (Reference(name="X", module="nonexistent.models.x", entries=("x",)), "package nonexistent is not installed"),
        (Reference(name="X", module="torchvision.models.none", entries=("x",)), "torchvision.models.none has no x"),
        (Reference(name="X", module="torchvision.models.resnet", entries=("resnet50", "gone")), "has no gone"),
    ],
)
def test_what_is_not_installed_is_a_problem(reference: Reference, message: str) -> None:
    found = read_reference(reference.name, reference.module, reference.entries, 1_000)
    assert isinstance(found, Problem)
    assert (found.kind, found.where) == (ProblemKind.MISSING, "X")
    assert message in found.message


def test_nothing_is_imported() -> None:
    program = (
        "import sys; from tools.reference_sources import read_reference as read;"
        "assert not hasattr(read('ResNet', 'torchvision.models.resnet', ['resnet50'], 9999), 'kind');"
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
