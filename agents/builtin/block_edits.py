"""Changes within existing blocks: their convolutions, normalization, activation, inner width, order and sum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.insertions import Template, Transform, branch_layers, spatial_convolutions
from agents.builtin.source_editor import Draft, free_name
from agents.builtin.torch_layers import ACTIVATIONS, CONVOLUTION, Role, layer_name, layer_signature
from fairnad.ideas.idea import MutationTarget


def rewrite_convolution(pattern: str, note: str, *, keeps_width: bool = False) -> Transform:
    """Other layers in the place of a convolution of a block.

    Args:
        pattern: the new expression, with ``{i}`` and ``{o}`` for the widths, ``{k}``, ``{s}``, ``{p}`` for kernel
            size, stride and padding, and ``{bias}`` for the keyword argument.
        note: what it is, in a few words.
        keeps_width: only a convolution with equal widths can be rewritten so.
    """

    def rewrite(draft: Draft, target: MutationTarget) -> str:
        sites = [(name, call) for name in draft.reading.blocks for call in spatial_convolutions(draft.read(name))]
        for owner, call in draft.shuffled(sites):
            given = {name: syntax.code(a.value) for name, a in syntax.arguments(call, CONVOLUTION).items()}
            if keeps_width and given["in_channels"] != given["out_channels"]:
                continue
            new = pattern.format(
                i=given["in_channels"],
                o=given["out_channels"],
                k=given["kernel_size"],
                s=given.get("stride", "1"),
                p=given.get("padding", "0"),
                bias=f"bias={given.get('bias', 'True')}",
            )
            draft.replace({call: syntax.expression(new)})
            draft.require_imports(syntax.expression(new))
            return f"{note} in {owner}"
        return ""

    return rewrite


def change_kernel(sizes: Callable[[int], list[int]]) -> Transform:
    """Another kernel size for a convolution of a block, or for all that share a parameter.

    Args:
        sizes: the sizes to choose from, given the current one.
    """

    def change(draft: Draft, target: MutationTarget) -> str:
        for owner in draft.shuffled(draft.reading.blocks):
            for edits, size in draft.shuffled(_kernel_edits(draft, owner, sizes)):
                draft.replace(edits)
                return f"kernel size {size} in {owner}"
        return ""

    return change


def _kernel_edits(
    draft: Draft, owner: str, sizes: Callable[[int], list[int]]
) -> Iterator[tuple[dict[cst.CSTNode, cst.CSTNode], int]]:
    reading = draft.read(owner)
    for call in reading.convolutions:
        bound = syntax.arguments(call, CONVOLUTION)
        old = syntax.integer(bound["kernel_size"].value) if "kernel_size" in bound else None
        if old is None or "padding" not in bound or syntax.integer(bound["padding"].value) != old // 2 or old < 3:
            continue
        for size in sizes(old) if "dilation" not in bound else []:
            new = {"kernel_size": str(size), "padding": str(size // 2)}
            yield {call: syntax.with_arguments(call, CONVOLUTION, new)}, size
    for parameter in syntax.parameters(reading.init) if reading.init else ():
        old = syntax.integer(parameter.default)
        if parameter.name.value == reading.kernel and old is not None and not _is_passed(draft, owner, reading.kernel):
            assert parameter.default is not None
            for size in sizes(old):
                yield {parameter.default: cst.Integer(str(size))}, size


def _is_passed(draft: Draft, owner: str, parameter: str) -> bool:
    """Whether any stage passes a parameter to a block, so that its default does not count."""
    scope = draft.reading.scope
    sites = [site for stage in draft.reading.stages for site in draft.reading.sites(stage.value, scope)]
    names = draft.read(owner).signature.names
    return any(parameter in syntax.arguments(site.call, names) for site in sites if owner in site.names)


def swap_norm(pattern: str, note: str) -> Transform:
    """Another normalization of PyTorch's in the branch of a block; ``{}`` in ``pattern`` stands for the width."""

    def swap(draft: Draft, target: MutationTarget) -> str:
        for owner in draft.shuffled(draft.reading.blocks):
            found = list(branch_layers(draft.read(owner), frozenset({"BatchNorm2d"})))
            if found:
                widths = {call: syntax.code(call.args[0].value) for call in found}
                draft.replace({call: syntax.expression(pattern.format(width)) for call, width in widths.items()})
                draft.require_imports(draft.read(owner).node)
                return f"{note} in {owner}"
        return ""

    return swap


def swap_activation(name: str) -> Transform:
    """Another activation in a block, wherever it is a layer or a function that takes the features alone."""
    others = {layer: function for layer, function in ACTIVATIONS.items() if layer != name}
    functions = {f"{front}.{function}" for function in others.values() for front in ("F", "torch")}

    def swap(draft: Draft, target: MutationTarget) -> str:
        for owner in draft.shuffled(draft.reading.blocks):
            reading = draft.read(owner)
            edits: dict[cst.CSTNode, cst.CSTNode] = {}
            for node in syntax.walk(reading.node):
                if isinstance(node, cst.Call) and layer_name(node.func) in others:
                    edits[node] = node.with_changes(func=syntax.expression(f"nn.{name}"), args=())
                elif isinstance(node, cst.Call) and syntax.dotted(node.func) in functions and len(node.args) == 1:
                    edits[node.func] = syntax.expression(f"F.{ACTIVATIONS[name]}")
            if edits:
                draft.replace(edits)
                draft.require_imports(draft.read(owner).node)
                return f"{name} in {owner}"
        return ""

    return swap


def instead_of_activation(text: str) -> Transform:
    """A new module in the place of every activation of a block, be it a layer or a function."""
    template = Template(text)
    functions = {f"{front}.{function}" for function in ACTIVATIONS.values() for front in ("F", "torch")}

    def place(draft: Draft, target: MutationTarget) -> str:
        for owner in draft.shuffled(draft.reading.blocks if target is not MutationTarget.MODIFY_MODULE else ()):
            reading = draft.read(owner)
            found = [call for call in syntax.calls(reading.node) if layer_name(call.func) in ACTIVATIONS]
            called = [c for c in syntax.calls(reading.node) if syntax.dotted(c.func) in functions and len(c.args) == 1]
            if template.is_in(reading) or reading.init is None or not found + called:
                continue
            name, attribute = draft.free_class_name(template.name), draft.free_attribute(owner, template.attribute)
            edits: dict[cst.CSTNode, cst.CSTNode] = {call: syntax.expression(f"{name}()") for call in found}
            draft.replace(edits | {call.func: syntax.expression(f"self.{attribute}") for call in called})
            if called:
                draft.extend_init(owner, f"self.{attribute} = {name}()")
            draft.add_class(text, name)
            return f"{template.attribute} in {owner}"
        return ""

    return place


def change_inner_width(pattern: str, note: str) -> Transform:
    """Another width between two convolutions of a block; ``{}`` in ``pattern`` stands for the width so far."""

    def change(draft: Draft, target: MutationTarget) -> str:
        sites = [(owner, found) for owner in draft.reading.blocks for found in inner_widths(draft.read(owner))]
        if not sites:
            return ""
        owner, (width, arguments) = draft.choose(sites)
        used = {node.value for node in syntax.walk(draft.read(owner).node) if isinstance(node, cst.Name)}
        name = free_name("hidden", used)
        draft.replace({argument.value: cst.Name(name) for argument in arguments})
        draft.begin_init(owner, f"{name} = {pattern.format(syntax.operand(width))}")
        return f"{note} in {owner}"

    return change


def inner_widths(reading: ClassReading) -> Iterator[tuple[str, list[cst.Arg]]]:
    """Widths between two consecutive ungrouped convolutions, each with every argument that has to follow it.

    Only widths that do not depend on local variables are given, since they are to be set at the start.
    """
    layers = list(reading.executed())
    runs = Counter(layer for _, layer in layers)
    signature = reading.signature.names
    for position, (maker, first) in enumerate(layers):
        out = _plain_convolution(first).get("out_channels")
        if out is None:
            continue
        width, arguments = syntax.code(out.value), [out]
        names = {node.value for node in syntax.walk(out.value) if isinstance(node, cst.Name)}
        for taker, layer in layers[position + 1 :]:
            into = _plain_convolution(layer).get("in_channels")
            if into is not None and syntax.code(into.value) == width:
                if names <= set(signature) and (maker is taker or reading.flows_straight(maker, taker)):
                    yield width, [*arguments, into]
                break
            known = layer_signature(layer)
            taken = syntax.arguments(layer, known.names) if known else {}
            follows = [taken[name] for name in (known.of_role(Role.WIDTH) if known else ()) if name in taken]
            is_norm = layer_name(layer.func) in ("BatchNorm2d", "GroupNorm") and runs[layer] == 1
            if (
                not (is_norm and [syntax.code(a.value) for a in follows] == [width])
                and layer_name(layer.func) not in ACTIVATIONS
            ):
                break
            arguments = arguments + follows


def _plain_convolution(call: cst.Call) -> dict[str, cst.Arg]:
    bound = syntax.arguments(call, CONVOLUTION) if layer_name(call.func) == "Conv2d" else {}
    return {} if "groups" in bound else bound
