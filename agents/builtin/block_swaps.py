"""Other blocks in the place of a network's own, in its last stage or in all of them."""

from __future__ import annotations

import libcst as cst

from agents.builtin import syntax
from agents.builtin.insertions import Template, Transform
from agents.builtin.network_reading import Site, Stage
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import BLANK, Draft
from fairnad.ideas.idea import MutationTarget


def instead_of_blocks(text: str, where: str = "any") -> Transform:
    """A new block in the place of the one a stage is built of.

    Args:
        text: a template that takes ``in_channels`` and ``out_channels``, and may take ``stride`` and ``kernel_size``.
        where: ``last``: the last stage; ``all``: every stage; ``any``: one of both, at random.
    """
    template = Template(text)

    def place(draft: Draft, target: MutationTarget) -> str:
        if target is MutationTarget.MODIFY_MODULE:
            return ""
        for chosen in draft.shuffled(["last", "all"]) if where == "any" else [where]:
            stages = draft.reading.stages if chosen == "all" else draft.reading.stages[-1:]
            old = _common_block(draft, stages, template)
            if old and _exchange(draft, stages, old, template):
                reach = "every stage" if chosen == "all" else "the last stage"
                return f"{template.attribute} in the place of {old} in {reach}"
        return ""

    return place


def _common_block(draft: Draft, stages: tuple[Stage, ...], template: Template) -> str:
    """A block class built in all of ``stages`` that the template can stand in for, ``""`` where there is none."""
    if not stages:
        return ""
    candidates = [name for name in stages[-1].blocks if all(name in stage.blocks for stage in stages)]
    for name in draft.shuffled(candidates):
        reading = draft.read(name)
        if reading.widths and not template.is_in(reading) and template.name != name.rstrip("0123456789"):
            return name
    return ""


def _exchange(draft: Draft, stages: tuple[Stage, ...], old: str, template: Template) -> bool:
    new = draft.free_class_name(template.name)
    fitted = _fitted(draft, old, template)
    in_shared = len(stages) == len(draft.reading.stages)
    draft.add_class(fitted, new)
    changed = [_exchange_in_stage(draft, stage.name, old, new, in_shared=in_shared) for stage in stages]
    return any(changed)


def _exchange_in_stage(draft: Draft, name: str, old: str, new: str, *, in_shared: bool) -> bool:
    """Build one stage of ``new`` instead of ``old``; ``False`` where that found no place.

    ``in_shared``: what builds all the stages may be changed itself; else it gets a parameter for the block.
    """
    stage = next(stage for stage in draft.reading.stages if stage.name == name)
    scope = draft.reading.scope
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for site in draft.reading.sites(stage.value, scope):
        is_here = site.scope.function is scope.function
        if old in site.names and syntax.dotted(site.call.func) == old and (in_shared or is_here):
            edits[site.call.func] = cst.Name(new)
        elif old in site.names and site.scope.owner is scope.owner and not is_here:
            _pass_block(draft, name, site, old, new)
            return True
    draft.replace(edits)
    return bool(edits)


def _pass_block(draft: Draft, stage_name: str, site: Site, old: str, new: str) -> None:
    """Have the method that builds a stage's blocks take their class, and hand it ``new``."""
    method = site.scope.function.name.value
    callee = syntax.dotted(site.call.func)
    if callee == old:
        callee = _add_block_parameter(draft, method, old)
    stage = next(stage for stage in draft.reading.stages if stage.name == stage_name)
    function = draft.reading.network.methods[method]
    for call in syntax.calls(stage.value):
        if syntax.self_attribute(call.func) == method:
            changed = syntax.with_arguments(call, syntax.parameter_names(function), {callee: new})
            draft.replace({call: changed})
            return


def _add_block_parameter(draft: Draft, method: str, old: str) -> str:
    """Make the block a method builds its last parameter, ``old`` by default; returns the parameter's name."""
    function = draft.reading.network.methods[method]
    used = {node.value for node in syntax.walk(function) if isinstance(node, cst.Name)}
    name = next(name for name in ("block", "block_class", "stage_block") if name not in used)
    edits: dict[cst.CSTNode, cst.CSTNode] = {
        node.func: cst.Name(name) for node in syntax.calls(function.body) if syntax.dotted(node.func) == old
    }
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    parameter = cst.Param(cst.Name(name), default=cst.Name(old), equal=equal)
    before = [p.with_changes(comma=syntax.COMMA) for p in function.params.params]
    changed = syntax.replaced(function.body, edits)
    params = function.params.with_changes(params=[*before, parameter])
    draft.replace({function: function.with_changes(params=params, body=changed)})
    return name


def _fitted(draft: Draft, old: str, template: Template) -> str:
    """The template with the parameters and the constants of the block it stands in for."""
    reading = draft.read(old)
    assert reading.init is not None
    names = {
        "in_channels": reading.widths[0],
        "out_channels": reading.output_width,
        "stride": reading.stride or "1",
        "kernel_size": reading.kernel or "3",
    }
    own = methods(template.node)["__init__"]
    body = syntax.renamed(own.body, names)
    body = syntax.replaced(body, _settled_choices(body))
    used = {node.value for node in syntax.walk(body) if isinstance(node, cst.Name)} | _passed(draft, old) | {"self"}
    kept = [p for p in reading.init.params.params if p.name.value in used or p.default is None]
    kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    init = own.with_changes(params=cst.Parameters(params=kept), body=body, returns=reading.init.returns)
    constants = [line.with_changes(leading_lines=[BLANK]) for line in reading.node.body.body if _is_constant(line)]
    fitted = syntax.replaced(template.node, {own: cst.FlattenSentinel([*constants, init])})
    return syntax.code(fitted)


def _passed(draft: Draft, old: str) -> set[str]:
    """The parameters that any stage passes to a block."""
    found: set[str] = set()
    for stage in draft.reading.stages:
        for site in draft.reading.sites(stage.value, draft.reading.scope):
            if old in site.names:
                found |= set(syntax.arguments(site.call, draft.read(old).signature.names))
    return found


def _is_constant(line: cst.CSTNode) -> bool:
    return isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Assign | cst.AnnAssign)


def _settled_choices(body: cst.BaseSuite) -> syntax.Edits:
    """Comparisons of a thing with itself, taken out of conditions; a condition without any other is decided.

    So is half of a kernel size that is a literal.
    """
    edits: dict[cst.CSTNode, cst.CSTNode | cst.FlattenSentinel[cst.CSTNode]] = {}
    for node in syntax.walk(body):
        if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.FloorDivide):
            left, right = syntax.integer(node.left), syntax.integer(node.right)
            if left is not None and right is not None:
                edits[node] = cst.Integer(str(left // right))
        if not isinstance(node, cst.If) or not isinstance(node.orelse, cst.Else):
            continue
        parts = syntax.code(node.test).split(" or ")
        open_parts = [part for part in parts if len(set(part.split(" != "))) > 1]
        if not open_parts:
            edits[node] = cst.FlattenSentinel(node.orelse.body.body)
        elif len(open_parts) < len(parts):
            edits[node.test] = syntax.expression(" or ".join(open_parts))
    return edits
