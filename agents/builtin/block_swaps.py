"""Replaces the blocks of a network by new ones, in its last stage or in all stages.

The functions are changes of the built-in designer, see :mod:`agents.builtin.insertions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

from agents.builtin import syntax
from agents.builtin.insertions import Template, template
from agents.builtin.network_reading import Site, Stage
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import BLANK, SourceEditor
from fairnad.ideas.idea import MutationTarget
from prompts.module_library import Entry


def replace_blocks(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """A new block in the last stage, or in every stage, at random.

    The module takes ``in_channels`` and ``out_channels``, and optionally ``stride`` and ``kernel_size``.
    """
    return _replace_blocks(entry, editor, target, editor.shuffled(["last", "all"]))


def replace_last_blocks(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """A new block in the last stage."""
    return _replace_blocks(entry, editor, target, ["last"])


def _replace_blocks(entry: Entry, editor: SourceEditor, target: MutationTarget, order: Sequence[str]) -> str:
    module = template(entry.source)
    for chosen in order if target is not MutationTarget.MODIFY_MODULE else ():
        stages = editor.reading.stages if chosen == "all" else editor.reading.stages[-1:]
        old = _common_block(editor, stages, module)
        if old and _exchange(editor, stages, old, module):
            where = "every stage" if chosen == "all" else "the last stage"
            return f"{module.attribute} replaces {old} in {where}"
    return ""


def _common_block(editor: SourceEditor, stages: Sequence[Stage], module: Template) -> str:
    """A block class built in all of ``stages`` that the module can replace, or ``""``."""
    candidates = stages[-1].blocks if stages else ()
    for name in editor.shuffled(name for name in candidates if all(name in stage.blocks for stage in stages)):
        reading = editor.read(name)
        if reading.widths and not module.is_in(reading) and module.name != name.rstrip("0123456789"):
            return name
    return ""


def _exchange(editor: SourceEditor, stages: Sequence[Stage], old: str, module: Template) -> bool:
    new = editor.free_class_name(module.name)
    text = _fit_to(editor, old, module)
    is_shared = len(stages) == len(editor.reading.stages)
    editor.add_class(text, new)
    changed = [_exchange_in_stage(editor, stage.name, old, new, is_shared=is_shared) for stage in stages]
    return any(changed)


def _exchange_in_stage(editor: SourceEditor, name: str, old: str, new: str, *, is_shared: bool) -> bool:
    """Build one stage of ``new`` instead of ``old``; ``False`` if nothing could be changed.

    Args:
        is_shared: change the method that builds all stages; else the method gets a parameter for the block.
    """
    stage = next(stage for stage in editor.reading.stages if stage.name == name)
    scope = editor.reading.scope
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for site in editor.reading.sites(stage.value, scope):
        is_here = site.scope.function is scope.function
        if old in site.names and syntax.dotted(site.call.func) == old and (is_shared or is_here):
            edits[site.call.func] = cst.Name(new)
        elif old in site.names and site.scope.owner is scope.owner and not is_here:
            _pass_block(editor, name, site, old, new)
            return True
    editor.replace(edits)
    return bool(edits)


def _pass_block(editor: SourceEditor, stage_name: str, site: Site, old: str, new: str) -> None:
    """Make the block class a parameter of the method that builds a stage, and pass ``new`` to it."""
    method = site.scope.function.name.value
    parameter = syntax.dotted(site.call.func)
    if parameter == old:
        parameter = _add_block_parameter(editor, method, old)
    stage = next(stage for stage in editor.reading.stages if stage.name == stage_name)
    names = syntax.parameter_names(editor.reading.network.methods[method])
    call = next(call for call in syntax.calls(stage.value) if syntax.self_attribute(call.func) == method)
    editor.replace({call: syntax.with_arguments(call, names, {parameter: new})})


def _add_block_parameter(editor: SourceEditor, method: str, old: str) -> str:
    """Make the block class the last parameter of a method, ``old`` by default; returns the parameter's name."""
    function = editor.reading.network.methods[method]
    used = {node.value for node in syntax.walk(function) if isinstance(node, cst.Name)}
    name = next(name for name in ("block", "block_class", "stage_block") if name not in used)
    edits: dict[cst.CSTNode, cst.CSTNode] = {
        node.func: cst.Name(name) for node in syntax.calls(function.body) if syntax.dotted(node.func) == old
    }
    before = [p.with_changes(comma=syntax.COMMA) for p in function.params.params]
    params = function.params.with_changes(params=[*before, syntax.default_parameter(name, old)])
    editor.replace({function: function.with_changes(params=params, body=syntax.replaced(function.body, edits))})
    return name


def _fit_to(editor: SourceEditor, old: str, module: Template) -> str:
    """The module with the parameters and the constants of the block it replaces."""
    reading = editor.read(old)
    assert reading.init is not None
    names = {
        "in_channels": reading.widths[0],
        "out_channels": reading.output_width,
        "stride": reading.stride or "1",
        "kernel_size": reading.kernel or "3",
    }
    own = methods(module.node)["__init__"]
    body = syntax.renamed(own.body, names)
    body = syntax.replaced(body, _simplify(body))
    used = {node.value for node in syntax.walk(body) if isinstance(node, cst.Name)}
    used |= _passed_arguments(editor, old) | {"self"}
    kept = [p for p in reading.init.params.params if p.name.value in used or p.default is None]
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    init = own.with_changes(params=cst.Parameters(params=kept), body=body, returns=reading.init.returns)
    constants = [line.with_changes(leading_lines=[BLANK]) for line in reading.node.body.body if _is_constant(line)]
    return syntax.code(syntax.replaced(module.node, {own: cst.FlattenSentinel([*constants, init])}))


def _passed_arguments(editor: SourceEditor, old: str) -> set[str]:
    """The parameters that any stage passes to a block."""
    reading, names = editor.reading, editor.read(old).signature.names
    sites = (site for stage in reading.stages for site in reading.sites(stage.value, reading.scope))
    return {name for site in sites if old in site.names for name in syntax.arguments(site.call, names)}


def _is_constant(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Assign | cst.AnnAssign)


def _simplify(body: cst.BaseSuite) -> syntax.Edits:
    """Edits that compute ``3 // 2``, and remove comparisons of an expression with itself from conditions."""
    edits: dict[cst.CSTNode, cst.CSTNode | cst.FlattenSentinel[cst.CSTNode]] = {}
    for node in syntax.walk(body):
        if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.FloorDivide):
            left, right = syntax.integer(node.left), syntax.integer(node.right)
            if left is not None and right is not None:
                edits[node] = cst.Integer(str(left // right))
        if isinstance(node, cst.If) and isinstance(node.orelse, cst.Else):
            parts = syntax.code(node.test).split(" or ")
            open_parts = [part for part in parts if len(set(part.split(" != "))) > 1]
            if not open_parts:
                edits[node] = cst.FlattenSentinel(node.orelse.body.body)
            elif len(open_parts) < len(parts):
                edits[node.test] = syntax.expression(" or ".join(open_parts))
    return edits
