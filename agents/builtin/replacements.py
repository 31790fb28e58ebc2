"""Layers of a block replaced: its convolutions, kernel sizes, normalization, activations and inner width; the stem.

The functions are changes of the built-in designer, see :mod:`agents.builtin.insertions`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.insertions import Template, template
from agents.builtin.source_editor import SourceEditor, free_name
from agents.builtin.torch_layers import (
    ACTIVATION_FUNCTIONS,
    ACTIVATIONS,
    CONVOLUTION,
    SizeUse,
    layer_arguments,
    layer_name,
    layer_signature,
)
from fairnad.ideas.idea import MutationTarget
from prompts.module_library import Entry

_MAX_KERNEL = 7


def spatial_convolutions(reading: ClassReading) -> list[cst.Call]:
    """The convolutions of a block's branch that are neither 1×1, nor grouped, nor dilated."""
    needed = {"in_channels", "out_channels", "kernel_size"}
    found = []
    for call in reading.convolutions:
        given = layer_arguments(call, "Conv2d")
        if needed <= set(given) <= needed | {"stride", "padding", "bias"}:
            kernel = given["kernel_size"]
            found += [] if isinstance(kernel, cst.Tuple) or syntax.integer(kernel) == 1 else [call]
    return found


def replace_convolution(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """A new module, with the parameters of ``nn.Conv2d``, for a convolution of a block."""
    module = template(entry.source)
    sites = [
        (name, call)
        for name in editor.reading.blocks
        if not module.is_in(editor.read(name))
        for call in spatial_convolutions(editor.read(name))
    ]
    if not sites or target is MutationTarget.MODIFY_MODULE:
        return ""
    owner, call = editor.choose(sites)
    _replace_callees(editor, module, [call])
    return f"{module.attribute} replaces a convolution of {owner}"


def replace_normalization(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """A new module of ``(channels)`` for every batch normalization of a block's branch."""
    module = template(entry.source)
    for name in editor.shuffled(editor.reading.blocks):
        found = [call for call in _batch_norms(editor.read(name)) if len(call.args) == 1]
        if found and target is not MutationTarget.MODIFY_MODULE and not module.is_in(editor.read(name)):
            _replace_callees(editor, module, found)
            return f"{module.attribute} replaces BatchNorm2d in {name}"
    return ""


def _batch_norms(reading: ClassReading) -> list[cst.Call]:
    """The batch normalization layers that ``__init__`` builds for the branch."""
    branch = (values for name, values in reading.members.items() if name not in reading.shortcut_members)
    calls = (call for values in branch for value in values for call in syntax.calls(value))
    return [call for call in calls if layer_name(call.func) == "BatchNorm2d"]


def _replace_callees(editor: SourceEditor, module: Template, calls: list[cst.Call]) -> None:
    name = editor.free_class_name(module.name)
    editor.replace({call.func: cst.Name(name) for call in calls})
    editor.add_class(module.text, name)


def replace_activation(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """A new module without parameters for every activation of a block, layer or function."""
    module = template(entry.source)
    for owner in editor.shuffled(editor.reading.blocks if target is not MutationTarget.MODIFY_MODULE else ()):
        reading = editor.read(owner)
        layers = [call for call in syntax.calls(reading.node) if layer_name(call.func) in ACTIVATIONS]
        functions = [call for call in syntax.calls(reading.node) if _is_activation(call)]
        if module.is_in(reading) or reading.init is None or not layers + functions:
            continue
        name, attribute = editor.free_class_name(module.name), editor.free_attribute(owner, module.attribute)
        edits: dict[cst.CSTNode, cst.CSTNode] = {call: syntax.expression(f"{name}()") for call in layers}
        editor.replace(edits | {call.func: syntax.expression(f"self.{attribute}") for call in functions})
        if functions:
            editor.extend_init(owner, f"self.{attribute} = {name}()")
        editor.add_class(entry.source, name)
        return f"{module.attribute} replaces the activations of {owner}"
    return ""


def _is_activation(call: cst.Call) -> bool:
    return syntax.dotted(call.func) in ACTIVATION_FUNCTIONS and len(call.args) == 1


def replace_stem(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Replace a stem that keeps the resolution with a new module of ``(in_channels, out_channels)``."""
    module, reading = template(entry.source), editor.reading
    values = reading.network.members.get(reading.stem, [])
    width = reading.network.built_width(values[0]) if len(values) == 1 else ""
    if target is MutationTarget.MODIFY_MODULE or not width or module.is_in(reading.network):
        return ""
    if reading.stem in {stage.name for stage in reading.stages} or _strides(editor, values[0]):
        return ""
    name = editor.free_class_name(module.name)
    editor.replace({values[0]: syntax.expression(f"{name}(3, {width})")})
    editor.add_class(entry.source, name)
    return f"{module.attribute} replaces the stem"


def _strides(editor: SourceEditor, value: cst.BaseExpression) -> bool:
    """Whether what ``value`` builds lowers the resolution."""
    sizes, scope = editor.reading.sizes, editor.reading.scope
    built = [name for call in syntax.calls(value) for name in sizes.class_names(call.func, scope)]
    calls = [call for node in (value, *(sizes.classes[name] for name in built)) for call in syntax.calls(node)]
    uses = (pair for call in calls for pair in sizes.argument_uses(call, scope))
    return any(use is SizeUse.STRIDE and syntax.integer(argument) not in (1, None) for use, argument in uses)


def rewrite_convolution(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """The entry's pattern for a convolution of a block.

    In the pattern, ``{i}`` and ``{o}`` stand for the widths, ``{k}``, ``{s}``, ``{p}`` for kernel size, stride and
    padding, and ``{bias}`` for the keyword argument.
    """
    sites = [(name, call) for name in editor.reading.blocks for call in spatial_convolutions(editor.read(name))]
    for owner, call in editor.shuffled(sites):
        given = {name: syntax.code(value) for name, value in layer_arguments(call, "Conv2d").items()}
        if entry.same_width and given["in_channels"] != given["out_channels"]:
            continue
        text = entry.pattern.format(
            i=given["in_channels"],
            o=given["out_channels"],
            k=given["kernel_size"],
            s=given.get("stride", "1"),
            p=given.get("padding", "0"),
            bias=f"bias={given.get('bias', 'True')}",
        )
        editor.replace({call: syntax.expression(text)})
        editor.require_imports(syntax.expression(text))
        return f"{entry.name} in {owner}"
    return ""


def enlarge_kernel(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """Use the next larger odd kernel size, up to 7."""
    return _change_kernel(editor, lambda size: [size + 2])


def change_kernel(editor: SourceEditor, target: MutationTarget) -> str:
    """A neighbouring odd kernel size, from 3 to 7."""
    return _change_kernel(editor, lambda size: [size - 2, size + 2])


def _change_kernel(editor: SourceEditor, sizes: Callable[[int], list[int]]) -> str:
    for owner in editor.shuffled(editor.reading.blocks):
        for edits, size in editor.shuffled(_kernel_edits(editor, owner, sizes)):
            editor.replace(edits)
            return f"kernel size {size} in {owner}"
    return ""


def _kernel_edits(
    editor: SourceEditor, owner: str, sizes: Callable[[int], list[int]]
) -> Iterator[tuple[dict[cst.CSTNode, cst.CSTNode], int]]:
    """Edits for another kernel size of one convolution, or of all that share a parameter."""
    reading = editor.read(owner)
    for call in reading.convolutions:
        given = layer_arguments(call, "Conv2d")
        old = syntax.integer(given.get("kernel_size"))
        if old is None or syntax.integer(given.get("padding")) != old // 2 or old < 3 or "dilation" in given:
            continue
        for size in filter(_is_allowed, sizes(old)):
            new = {"kernel_size": str(size), "padding": str(size // 2)}
            yield {call: syntax.with_arguments(call, CONVOLUTION, new)}, size
    for parameter in syntax.parameters(reading.init) if reading.init else ():
        old = syntax.integer(parameter.default)
        if parameter.name.value == reading.kernel and old is not None and not _is_passed(editor, owner, reading.kernel):
            assert parameter.default is not None
            for size in filter(_is_allowed, sizes(old)):
                yield {parameter.default: cst.Integer(str(size))}, size


def _is_allowed(size: int) -> bool:
    return 3 <= size <= _MAX_KERNEL


def _is_passed(editor: SourceEditor, owner: str, parameter: str) -> bool:
    """Whether a stage passes a parameter to a block, so that its default is not used."""
    reading, names = editor.reading, editor.read(owner).signature.names
    sites = [site for stage in reading.stages for site in reading.sites(stage.value, reading.scope)]
    return any(parameter in syntax.arguments(site.call, names) for site in sites if owner in site.names)


def swap_normalization(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """The entry's pattern for each batch normalization of a block's branch; ``{width}`` stands for the width."""
    for owner in editor.shuffled(editor.reading.blocks):
        if found := _batch_norms(editor.read(owner)):
            texts = {call: entry.pattern.format(width=syntax.code(call.args[0].value)) for call in found}
            editor.replace({call: syntax.expression(text) for call, text in texts.items()})
            editor.require_imports(editor.read(owner).node)
            return f"{entry.name} in {owner}"
    return ""


def swap_activation(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """The activation named by the entry's pattern for all others in a block."""
    return _swap_activation(entry.pattern, editor)


def change_activation(editor: SourceEditor, target: MutationTarget) -> str:
    """A random other activation in a block."""
    for name in editor.shuffled(ACTIVATIONS):
        if note := _swap_activation(name, editor):
            return note
    return ""


def _swap_activation(name: str, editor: SourceEditor) -> str:
    own = {f"F.{ACTIVATIONS[name]}", f"torch.{ACTIVATIONS[name]}"}
    for owner in editor.shuffled(editor.reading.blocks):
        edits: dict[cst.CSTNode, cst.CSTNode] = {}
        for call in syntax.calls(editor.read(owner).node):
            if layer_name(call.func) in ACTIVATIONS.keys() - {name}:
                edits[call] = call.with_changes(func=syntax.expression(f"nn.{name}"), args=())
            elif _is_activation(call) and syntax.dotted(call.func) not in own:
                edits[call.func] = syntax.expression(f"F.{ACTIVATIONS[name]}")
        if edits:
            editor.replace(edits)
            editor.require_imports(editor.read(owner).node)
            return f"activation {name} in {owner}"
    return ""


def change_inner_width(entry: Entry, editor: SourceEditor, target: MutationTarget) -> str:
    """The entry's pattern for the width between two convolutions of a block; ``{width}`` stands for the old width."""
    sites = [(owner, found) for owner in editor.reading.blocks for found in inner_widths(editor.read(owner))]
    if not sites:
        return ""
    owner, (width, arguments) = editor.choose(sites)
    used = {node.value for node in syntax.walk(editor.read(owner).node) if isinstance(node, cst.Name)}
    name = free_name("hidden", used)
    editor.replace({argument.value: cst.Name(name) for argument in arguments})
    editor.begin_init(owner, f"{name} = {entry.pattern.format(width=syntax.operand(width))}")
    return f"{entry.name} in {owner}"


def inner_widths(reading: ClassReading) -> Iterator[tuple[str, list[cst.Arg]]]:
    """Widths between two consecutive ungrouped convolutions, each with all arguments that depend on it.

    Widths that depend on local variables are left out, because the new width is set at the start of ``__init__``.
    """
    layers = list(reading.executed())
    runs = Counter(layer for _, layer in layers)
    for position, (maker, first) in enumerate(layers):
        out = _plain_convolution(first).get("out_channels")
        if out is None:
            continue
        width, arguments = syntax.code(out.value), [out]
        names = {node.value for node in syntax.walk(out.value) if isinstance(node, cst.Name)}
        for taker, layer in layers[position + 1 :]:
            into = _plain_convolution(layer).get("in_channels")
            if into is not None and syntax.code(into.value) == width:
                is_straight = maker is taker or reading.flows_straight(maker, taker)
                if names <= set(reading.signature.names) and is_straight:
                    yield width, [*arguments, into]
                break
            known = layer_signature(layer)
            bound = syntax.arguments(layer, known.names) if known else {}
            follows = [bound[name] for name in (known.of_use(SizeUse.WIDTH) if known else ()) if name in bound]
            is_norm = layer_name(layer.func) in ("BatchNorm2d", "GroupNorm") and runs[layer] == 1
            fits = is_norm and [syntax.code(argument.value) for argument in follows] == [width]
            if not fits and layer_name(layer.func) not in ACTIVATIONS:
                break
            arguments = arguments + follows


def _plain_convolution(call: cst.Call) -> dict[str, cst.Arg]:
    bound = syntax.arguments(call, CONVOLUTION) if layer_name(call.func) == "Conv2d" else {}
    return {} if "groups" in bound else bound
