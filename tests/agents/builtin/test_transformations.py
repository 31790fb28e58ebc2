import ast

import numpy as np
import pytest
import torch

from agents.builtin.catalogue import Transformation
from agents.builtin.scaling import widen_unevenly
from agents.builtin.source_editor import SourceEditor
from fairnad.ideas.attribute_tree import Granularity
from fairnad.ideas.idea import MutationTarget
from prompts.loader import load_pack
from tests.agents.builtin.networks import SOURCES, TRANSFORMATIONS, build, run
from tools.jobs import source_policy

NO_PLACE = {
    ("position convolution", MutationTarget.MODIFY_MODULE): {"comprehensions", "bottlenecks"},
    ("position grid", MutationTarget.MODIFY_MODULE): {"comprehensions", "bottlenecks"},
    ("second stem convolution", MutationTarget.MODIFY_MODULE): {"comprehensions", "bottlenecks"},
    ("shifted downsampling", MutationTarget.NETWORK): {"comprehensions"},
}
"""A stem without a class of its own cannot be modified, nor can strides be shifted that no literal holds; every
other transformation applies to every network."""

CASES = [
    (found, sorted(found.targets)[i % len(found.targets)], name)
    for found in TRANSFORMATIONS
    for i, name in enumerate(SOURCES)
]
"""Every transformation on every network, its targets in turn."""


def _shape(source: str) -> str:
    network = build(source)
    return f"{network}{list(network.state_dict())}"


def _output(source: str) -> torch.Tensor:
    network = build(source).eval()
    torch.manual_seed(1)
    return network(1000 * torch.randn(1, 3, 16, 16))


SHAPES = {name: _shape(source) for name, source in SOURCES.items()}


@pytest.mark.parametrize(
    ("found", "target", "name"), CASES, ids=[f"{found.name}-{target}-{name}" for found, target, name in CASES]
)
def test_it_makes_a_new_architecture_that_runs(found: Transformation, target: MutationTarget, name: str) -> None:
    source = SOURCES[name]
    editor = SourceEditor(source, np.random.default_rng(len(found.name)))

    note = found.apply(editor, target)

    if name in NO_PLACE.get((found.name, target), set()):
        assert note == ""
        return
    assert note
    source_policy.enforce(editor.source)
    network = run(editor.source)
    is_new = f"{network}{list(network.state_dict())}" != SHAPES[name]
    assert is_new or not torch.allclose(_output(editor.source), _output(source))
    added = _num_classes(editor.source) - _num_classes(source)
    assert added == 0 if target is MutationTarget.MODIFY_MODULE else added <= 1


@pytest.mark.parametrize("found", TRANSFORMATIONS, ids=lambda found: found.name)
def test_its_result_can_be_widened(found: Transformation) -> None:
    editor = SourceEditor(SOURCES["comprehensions"], np.random.default_rng(0))
    found.apply(editor, max(found.targets))

    assert widen_unevenly(editor, MutationTarget.NETWORK)

    run(editor.source, eval_side=16)


def _num_classes(source: str) -> int:
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(names) == len(set(names))
    return len(names)


NEW_MODULES = [found for found in TRANSFORMATIONS if MutationTarget.NEW_MODULE in found.targets]


@pytest.mark.parametrize("found", NEW_MODULES, ids=lambda found: found.name)
def test_a_new_module_is_a_new_class(found: Transformation) -> None:
    editor = SourceEditor(SOURCES["resnet"], np.random.default_rng(0))

    found.apply(editor, MutationTarget.NEW_MODULE)

    assert _num_classes(editor.source) == _num_classes(SOURCES["resnet"]) + 1
    run(editor.source, eval_side=16)


def test_every_main_category_has_a_transformation_for_each_of_its_targets() -> None:
    categories = load_pack("vision").attribute_tree.categories
    assert len(categories) == 15
    for category in categories:
        is_network = category.granularity is Granularity.NETWORK
        targets = {MutationTarget.NETWORK} if is_network else {MutationTarget.NEW_MODULE, MutationTarget.MODIFY_MODULE}
        served = set().union(*(found.targets for found in TRANSFORMATIONS if category in found.categories))
        assert targets <= served, category


def test_names_are_unique() -> None:
    names = [found.name for found in TRANSFORMATIONS]
    assert len(names) == len(set(names)) >= 35


def test_a_module_that_is_there_already_is_not_put_beside_itself() -> None:
    gate = next(found for found in TRANSFORMATIONS if found.name == "channel gate")
    editor = SourceEditor(SOURCES["resnet"], np.random.default_rng(0))
    assert gate.apply(editor, MutationTarget.NEW_MODULE)

    assert gate.apply(editor, MutationTarget.NEW_MODULE) == ""


def test_class_names_stay_unique_where_a_template_is_used_twice() -> None:
    context = next(found for found in TRANSFORMATIONS if found.name == "global context")
    everywhere = next(found for found in TRANSFORMATIONS if found.name == "global context in every stage")
    editor = SourceEditor(SOURCES["resnet"], np.random.default_rng(0))

    assert context.apply(editor, MutationTarget.NEW_MODULE)
    assert everywhere.apply(editor, MutationTarget.NETWORK)

    assert {"class GlobalContext(nn.Module):", "class GlobalContext2(nn.Module):"} <= set(editor.source.splitlines())
    run(editor.source)


def test_what_is_not_changed_keeps_its_form() -> None:
    gate = next(found for found in TRANSFORMATIONS if found.name == "channel gate")
    editor = SourceEditor(SOURCES["resnet"], np.random.default_rng(0))
    gate.apply(editor, MutationTarget.NEW_MODULE)

    lines = editor.source.splitlines()

    lost = [line for line in SOURCES["resnet"].splitlines() if line not in lines]
    assert lost == ["        return self.act(out + self.shortcut(x))"]
