"""Where modules written as templates go: into a branch, behind a stage or the stem, in the place of a layer or block.

A template is a class written out as text. What its ``__init__`` takes says where it can go:

- ``(channels)``: keeps the shape, so it fits behind any feature map;
- the parameters of ``nn.Conv2d``: in the place of a convolution;
- ``(in_channels, out_channels, stride, kernel_size)`` or some of them: in the place of a block, whose own
  parameters it then takes over.

Each placement makes a :data:`Transform` of a template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.network_reading import Stage
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import Draft, snake_case, stem_of
from agents.builtin.torch_layers import CONVOLUTION, layer_name
from fairnad.ideas.idea import MutationTarget

Transform = Callable[[Draft, MutationTarget], str]
"""Rewrites a draft in place and says in a line what it did; ``""`` where it found no place.

A target of *modify module* asks for a change within an existing class; every other one allows new classes.
"""


@dataclass(frozen=True)
class Template:
    """A module written out as text."""

    text: str

    @cached_property
    def node(self) -> cst.ClassDef:
        """The class."""
        (node,) = syntax.statements(self.text)
        assert isinstance(node, cst.ClassDef)
        return node

    @property
    def name(self) -> str:
        """The name the class is written down with."""
        return self.node.name.value

    @cached_property
    def attribute(self) -> str:
        """The name a member made of it gets."""
        return snake_case(self.name)

    def is_in(self, reading: ClassReading) -> bool:
        """Whether a class holds a module made of this template already."""
        names = {node.value for node in syntax.walk(reading.node) if isinstance(node, cst.Name)}
        return self.name in map(stem_of, names) or f"_{self.attribute}" in map(stem_of, reading.methods)


def in_branch(text: str) -> Transform:
    """A module behind the residual branch of a block: new, or grafted into the block's own class."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        for name in draft.shuffled(draft.reading.blocks):
            reading = draft.read(name)
            if reading.tail is not None and not template.is_in(reading) and _insert(draft, name, template, target):
                return f"{template.attribute} behind the branch of {name}"
        return ""

    return place


def after_stem(text: str) -> Transform:
    """A module behind the stem: new, or grafted into the stem's own class."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        stem, network = draft.reading.stem, draft.reading.network
        if target is MutationTarget.MODIFY_MODULE:
            name = draft.reading.stem_class
            fits = name and not template.is_in(draft.read(name)) and _insert(draft, name, template, target)
            return f"{template.attribute} behind the stem, in {name}" if fits else ""
        width = next(filter(None, map(network.built_width, network.members.get(stem, ()))), "")
        call = draft.reading.call_of(stem) if stem else None
        if template.is_in(network) or not width or call is None:
            return ""
        member = add_member(draft, "Network", template, width)
        run_behind(draft, call, member)
        return f"{template.attribute} behind the stem"

    return place


def after_stage(text: str, which: str = "last") -> Transform:
    """A new module behind the ``last`` stage, or behind ``each``; *modify module* finds no place here."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        stages = open_stages(draft)
        if target is MutationTarget.MODIFY_MODULE or template.is_in(draft.reading.network) or not stages:
            return ""
        name = draft.free_class_name(template.name)
        for stage in stages if which == "each" else stages[-1:]:
            call = draft.reading.call_of(stage.name)
            assert call is not None
            member = draft.free_attribute("Network", template.attribute)
            run_behind(draft, call, member)
            draft.extend_init("Network", f"self.{member} = {name}({stage.width})", after=stage.statement)
        draft.add_class(text, name)
        return f"{template.attribute} behind {'each' if which == 'each' else 'the last'} stage"

    return place


def open_stages(draft: Draft) -> list[Stage]:
    """The stages a module can be put behind: of known width, and called by name."""
    return [stage for stage in draft.reading.stages if stage.width and draft.reading.call_of(stage.name)]


def run_behind(draft: Draft, call: cst.Call, attribute: str) -> None:
    """Run a member of the network on the result of ``call``, on a line of its own where that has one."""
    line = draft.statement_of(call, "Network")
    small = line.body[0]
    if isinstance(small, cst.Assign) and small.value is call and (variable := syntax.dotted(small.targets[0].target)):
        draft.insert_after(call, "Network", f"{variable} = self.{attribute}({variable})")
    else:
        draft.wrap(call, f"self.{attribute}({{}})")


def _insert(draft: Draft, owner: str, template: Template, target: MutationTarget) -> bool:
    """Put a module behind the tail of a class; ``False`` where its width is unknown."""
    reading = draft.read(owner)
    width = reading.width_of(reading.tail) if reading.tail is not None else ""
    if reading.tail is None or reading.init is None or not width:
        return False
    if target is MutationTarget.MODIFY_MODULE:
        member = graft(draft, owner, template, width)
    else:
        member = add_member(draft, owner, template, width)
    draft.wrap(reading.tail, f"self.{member}({{}})")
    return True


def add_member(draft: Draft, owner: str, template: Template, arguments: str) -> str:
    """Add a template to the source as a class of its own, and to ``owner`` as the member returned."""
    name = draft.free_class_name(template.name)
    attribute = draft.free_attribute(owner, template.attribute)
    draft.extend_init(owner, f"self.{attribute} = {name}({arguments})")
    draft.add_class(template.text, name)
    return attribute


def graft(draft: Draft, owner: str, template: Template, width: str) -> str:
    """Make a template part of a class: its members join ``__init__``, its ``forward`` becomes the method returned."""
    parts = methods(template.node)
    wanted = {syntax.self_attribute(n) for n in syntax.walk(template.node) if isinstance(n, cst.Attribute)} - {""}
    names = {name: draft.free_attribute(owner, name) for name in sorted(wanted)}
    method = draft.free_attribute(owner, f"_{template.attribute}")
    members = [line for line in parts["__init__"].body.body if "super()" not in syntax.code(line)]
    text = "".join(syntax.code(_renamed_members(line, names)) for line in members)
    forward = _renamed_members(parts["forward"], names).with_changes(name=cst.Name(method))
    (wrapper,) = syntax.statements(f"if True:\n{_indented(text)}")
    renamed = syntax.renamed(wrapper, {"channels": width})
    assert isinstance(renamed, cst.If)
    draft.extend_init(owner, "".join(syntax.code(line) for line in renamed.body.body))
    draft.add_method(owner, syntax.code(forward))
    return method


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _renamed_members(tree: syntax.Tree, names: dict[str, str]) -> syntax.Tree:
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in syntax.walk(tree):
        if isinstance(node, cst.Attribute) and (name := syntax.self_attribute(node)) in names:
            edits[node] = node.with_changes(attr=cst.Name(names[name]))
    return syntax.replaced(tree, edits)


def spatial_convolutions(reading: ClassReading) -> list[cst.Call]:
    """The ordinary convolutions of a block's branch that look at neighbours: neither 1×1, nor grouped, nor dilated."""
    needed = {"in_channels", "out_channels", "kernel_size"}
    found = []
    for call in reading.convolutions:
        bound = syntax.arguments(call, CONVOLUTION)
        is_plain = needed <= set(bound) <= needed | {"stride", "padding", "bias"}
        if is_plain and _is_wide(bound["kernel_size"].value):
            found.append(call)
    return found


def _is_wide(kernel: cst.BaseExpression) -> bool:
    return not isinstance(kernel, cst.Tuple) and syntax.integer(kernel) != 1


def instead_of_convolution(text: str) -> Transform:
    """A new module in the place of a convolution of a block."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        sites = [
            (name, call)
            for name in draft.reading.blocks
            if not template.is_in(draft.read(name))
            for call in spatial_convolutions(draft.read(name))
        ]
        if not sites or target is MutationTarget.MODIFY_MODULE:
            return ""
        owner, call = draft.choose(sites)
        _swap_callees(draft, template, [call])
        return f"{template.attribute} in the place of a convolution of {owner}"

    return place


def instead_of_layers(text: str, kinds: frozenset[str]) -> Transform:
    """A new module in the place of every layer of some ``kinds`` (such as ``BatchNorm2d``) of a block's branch."""
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        for name in draft.shuffled(draft.reading.blocks):
            found = [call for call in branch_layers(draft.read(name), kinds) if len(call.args) == 1]
            if found and target is not MutationTarget.MODIFY_MODULE and not template.is_in(draft.read(name)):
                _swap_callees(draft, template, found)
                return f"{template.attribute} in the place of {layer_name(found[0].func)} in {name}"
        return ""

    return place


def branch_layers(reading: ClassReading, kinds: frozenset[str]) -> Iterator[cst.Call]:
    """The layers of some kinds that ``__init__`` builds for the branch."""
    for name, values in reading.members.items():
        if name not in reading.shortcut_members:
            for value in values:
                yield from (call for call in syntax.calls(value) if layer_name(call.func) in kinds)


def _swap_callees(draft: Draft, template: Template, calls: list[cst.Call]) -> None:
    name = draft.free_class_name(template.name)
    draft.replace({call.func: cst.Name(name) for call in calls})
    draft.add_class(template.text, name)
