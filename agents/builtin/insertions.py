"""Modules of the library added to a network: after a branch, the stem or a stage, around stages, between stages.

Each function is a change of the built-in designer: it gets an entry of the library, an editor and a mutation target.
It edits the source and returns a note that says what it did, or ``""`` if it found no place. With the target *modify
module* it changes existing classes only; other targets allow new classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from textwrap import indent

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.network_reading import Stage
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import SourceEditor, snake_case, without_number
from agents.builtin.torch_layers import SizeUse, layer_name
from fairnad.ideas.idea import MutationTarget
from prompts.module_library import Entry

_STACK_DEPTH = 2


@dataclass(frozen=True)
class Template:
    """A class of the library."""

    text: str

    @cached_property
    def node(self) -> cst.ClassDef:
        """The class."""
        (node,) = syntax.statements(self.text)
        assert isinstance(node, cst.ClassDef)
        return node

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.node.name.value

    @property
    def attribute(self) -> str:
        """The attribute that holds an instance of the class."""
        return snake_case(self.name)

    def is_in(self, reading: ClassReading) -> bool:
        """Whether a class already uses this class, or holds its methods."""
        names = {node.value for node in syntax.walk(reading.node) if isinstance(node, cst.Name)}
        is_method = f"_{self.attribute}" in map(without_number, reading.methods)
        return is_method or self.name in map(without_number, names)


@cache
def template(source: str) -> Template:
    """The class in a source, parsed once."""
    return Template(source)


def after_branch(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a module of ``(channels)`` to the end of a block's residual branch."""
    module = template(entry.source)
    for name in editor.shuffled(editor.reading.blocks):
        reading = editor.read(name)
        if reading.tail is not None and not module.is_in(reading) and _add_at_tail(editor, name, module, target):
            return f"{module.attribute} after the branch of {name}"
    return ""


def after_stem(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a module of ``(channels)`` after the stem."""
    module, reading = template(entry.source), editor.reading
    if target is MutationTarget.MODIFY_MODULE:
        name = reading.stem_class
        fits = name and not module.is_in(editor.read(name)) and _add_at_tail(editor, name, module, target)
        return f"{module.attribute} after the stem, in {name}" if fits else ""
    call = reading.call_of(reading.stem) if reading.stem else None
    if module.is_in(reading.network) or not reading.stem_width or call is None:
        return ""
    run_after(editor, call, add_member(editor, "Network", module, reading.stem_width))
    return f"{module.attribute} after the stem"


def after_last_stage(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a new module of ``(channels)`` after the last stage."""
    return _after_stages(entry, editor, target, editor.reading.open_stages[-1:], "the last stage")


def after_each_stage(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a new module of ``(channels)`` after each stage."""
    return _after_stages(entry, editor, target, editor.reading.open_stages, "each stage")


def _after_stages(entry: Entry, editor: SourceEditor, target: MutationTarget, stages: list[Stage], where: str) -> str:
    module = template(entry.source)
    if target is MutationTarget.MODIFY_MODULE or module.is_in(editor.reading.network) or not stages:
        return ""
    name = editor.free_class_name(module.name)
    for stage in stages:
        add_after_stage(editor, stage, module.attribute, f"{name}({stage.width})")
    editor.add_class(entry.source, name)
    return f"{module.attribute} after {where}"


def stack_after_stages(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add two new blocks of ``(channels)`` in series after the last stage."""
    module, stages = template(entry.source), editor.reading.open_stages
    if not stages or module.is_in(editor.reading.network):
        return ""
    name = editor.free_class_name(module.name)
    built = f"nn.Sequential(*[{name}({stages[-1].width}) for _ in range({_STACK_DEPTH})])"
    add_after_stage(editor, stages[-1], f"{module.attribute}s", built)
    editor.add_class(entry.source, name)
    return f"{_STACK_DEPTH} × {module.attribute} after the last stage"


def add_after_stage(editor: SourceEditor, stage: Stage, attribute: str, built: str) -> str:
    """Run a new member after a stage; returns its name."""
    call = editor.reading.call_of(stage.name)
    assert call is not None, "an open stage is called by name"
    member = editor.free_attribute("Network", attribute)
    run_after(editor, call, member)
    editor.extend_init("Network", f"self.{member} = {built}", after=stage.statement)
    return member


def run_after(editor: SourceEditor, call: cst.Call, attribute: str) -> None:
    """Apply a member of the network to the result of ``call``, on a line of its own if the call has one."""
    small = editor.statement_of(call, "Network").body[0]
    if isinstance(small, cst.Assign) and small.value is call and (variable := syntax.dotted(small.targets[0].target)):
        editor.insert_after(call, "Network", f"{variable} = self.{attribute}({variable})")
    else:
        editor.wrap(call, f"self.{attribute}({{}})")


def _add_at_tail(editor: SourceEditor, owner: str, module: Template, target: MutationTarget) -> bool:
    """Add a module at the tail of a class; ``False`` if the width there is unknown."""
    reading = editor.read(owner)
    width = reading.width_of(reading.tail) if reading.tail is not None else ""
    if reading.tail is None or reading.init is None or not width:
        return False
    member = add_or_graft(editor, owner, module, width, target)
    editor.wrap(reading.tail, f"self.{member}({{}})")
    return True


def add_or_graft(editor: SourceEditor, owner: str, module: Template, width: str, target: MutationTarget) -> str:
    """Add a module of ``(channels)`` as a new class, or to the class ``owner`` itself; returns the member to call."""
    add = _graft if target is MutationTarget.MODIFY_MODULE else add_member
    return add(editor, owner, module, width)


def add_member(editor: SourceEditor, owner: str, module: Template, arguments: str) -> str:
    """Add a module as a class of its own, and to ``owner`` as the member returned."""
    name = editor.free_class_name(module.name)
    attribute = editor.free_attribute(owner, module.attribute)
    editor.extend_init(owner, f"self.{attribute} = {name}({arguments})")
    editor.add_class(module.text, name)
    return attribute


def _graft(editor: SourceEditor, owner: str, module: Template, width: str) -> str:
    """Merge a module into a class: its members go to ``__init__``, its ``forward`` becomes the returned method."""
    own = methods(module.node)
    wanted = {syntax.self_attribute(n) for n in syntax.walk(module.node) if isinstance(n, cst.Attribute)} - {""}
    names = {name: editor.free_attribute(owner, name) for name in sorted(wanted)}
    method = editor.free_attribute(owner, f"_{module.attribute}")
    lines = [line for line in own["__init__"].body.body if "super()" not in syntax.code(line)]
    text = "".join(syntax.code(_rename_members(line, names)) for line in lines)
    (wrapper,) = syntax.statements(f"if True:\n{indent(text, '    ')}")
    renamed = syntax.renamed(wrapper, {"channels": width})
    assert isinstance(renamed, cst.If)
    editor.extend_init(owner, "".join(syntax.code(line) for line in renamed.body.body))
    forward = _rename_members(own["forward"], names).with_changes(name=cst.Name(method))
    editor.add_method(owner, syntax.code(forward))
    return method


def _rename_members(tree: syntax.Tree, names: dict[str, str]) -> syntax.Tree:
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in syntax.walk(tree):
        if isinstance(node, cst.Attribute) and (name := syntax.self_attribute(node)) in names:
            edits[node] = node.with_changes(attr=cst.Name(names[name]))
    return syntax.replaced(tree, edits)


def aggregate_stage(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Wrap a stage in a module of ``(blocks, channels)``, which joins the outputs of all its blocks."""
    module = template(entry.source)
    for stage in editor.shuffled(editor.reading.stages if target is not MutationTarget.MODIFY_MODULE else ()):
        if stage.width and _is_sequence(editor, stage):
            name = editor.free_class_name(module.name)
            editor.replace({stage.value: syntax.expression(f"{name}({syntax.code(stage.value)}, {stage.width})")})
            editor.add_class(entry.source, name)
            return f"{module.attribute} around {stage.name}"
    return ""


def _is_sequence(editor: SourceEditor, stage: Stage) -> bool:
    """Whether a stage is a plain ``nn.Sequential``."""
    method = editor.reading.network.methods.get(syntax.self_attribute(stage.value.func))
    returned: list[cst.CSTNode | None] = [stage.value]
    if method is not None:
        returned = [node.value for node in syntax.walk(method.body) if isinstance(node, cst.Return)]
    return {layer_name(value.func) for value in returned if isinstance(value, cst.Call)} == {"Sequential"}


def fuse_stages(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a module of ``(widths, channels)`` that adds the outputs of the earlier stages to the last one's."""
    module, stages = template(entry.source), editor.reading.open_stages
    if target is MutationTarget.MODIFY_MODULE or len(stages) < 2 or module.is_in(editor.reading.network):
        return ""
    earlier = [_keep_output(editor, stage) for stage in stages[:-1]]
    widths = _tuple([stage.width for stage in stages[:-1]])
    member = add_member(editor, "Network", module, f"{widths}, {stages[-1].width}")
    call = editor.reading.call_of(stages[-1].name)
    assert call is not None
    editor.wrap(call, f"self.{member}({{}}, {_tuple(earlier)})")
    return f"{module.attribute} of {len(stages)} stages"


def _tuple(items: list[str]) -> str:
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def _keep_output(editor: SourceEditor, stage: Stage) -> str:
    """Store the output of a stage in a new variable; returns its name."""
    call = editor.reading.call_of(stage.name)
    assert call is not None
    name = editor.free_variable("Network", f"{stage.name}_output")
    small = editor.statement_of(call, "Network").body[0]
    if isinstance(small, cst.Assign) and small.value is call:
        editor.insert_after(call, "Network", f"{name} = {syntax.code(small.targets[0].target)}")
    else:
        editor.wrap(call, f"({name} := {{}})")
    return name


def downsample_with(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Add a module of ``(channels)`` that halves the resolution before a stage, which then keeps it."""
    module = template(entry.source)
    for before, stage in editor.shuffled(pairwise(editor.reading.open_stages)):
        literal = stride_literal(editor, stage)
        if literal is None or syntax.integer(literal) != 2:
            continue
        editor.replace({literal: cst.Integer("1")})
        call = editor.reading.call_of(stage.name)
        assert call is not None and call.args
        name = editor.free_class_name(module.name)
        member = editor.free_attribute("Network", module.attribute)
        editor.wrap(call.args[0].value, f"self.{member}({{}})")
        editor.extend_init("Network", f"self.{member} = {name}({before.width})", after=before.statement)
        editor.add_class(entry.source, name)
        return f"{module.attribute} before {stage.name}"
    return ""


def stride_literal(editor: SourceEditor, stage: Stage) -> cst.Integer | None:
    """The literal that a stage passes as its stride; ``None`` unless there is exactly one."""
    sizes, scope = editor.reading.sizes, editor.reading.scope
    uses = (pair for call in syntax.calls(stage.value) for pair in sizes.argument_uses(call, scope))
    found = {literal for use, argument in uses if use is SizeUse.STRIDE for literal in _literals(argument)}
    return found.pop() if len(found) == 1 else None


def _literals(argument: cst.BaseExpression) -> set[cst.Integer]:
    """The argument itself, or the branches of a choice that are not 1."""
    if isinstance(argument, cst.IfExp):
        branches = _literals(argument.body) | _literals(argument.orelse)
        return {branch for branch in branches if syntax.integer(branch) != 1}
    return {argument} if isinstance(argument, cst.Integer) else set()
