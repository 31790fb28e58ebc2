"""Known cures for sources that do not run, each with the symptom it is for (paper F.2.5)."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.network_edits import stride_literal
from agents.builtin.repair_case import Case, Repair
from agents.builtin.scaling import Sizing
from agents.builtin.size_inference import methods
from agents.builtin.torch_layers import LAYERS, layer_name
from agents.builtin.torch_names import FUNCTION_NAMES, LAYER_NAMES, torch_name
from fairnad.records.candidate import Failure, FailureKind

_IMPORTS = {
    "torch": "import torch",
    "nn": "import torch.nn as nn",
    "F": "import torch.nn.functional as F",
    "math": "import math",
    "partial": "from functools import partial",
    "reduce": "from functools import reduce",
    "Tensor": "from torch import Tensor",
    "Optional": "from typing import Optional",
    "List": "from typing import List",
    "Tuple": "from typing import Tuple",
    "trunc_normal_": "from torch.nn.init import trunc_normal_",
}


def add_missing_name(case: Case) -> str:
    """Import a name that is used without an import; take a class that was left out from the parent."""
    match = re.search(r"name '(\w+)' is not defined", _text(case.failure))
    name = match[1] if match else ""
    home = "torch.nn" if name in LAYER_NAMES else "torch.nn.functional" if name in FUNCTION_NAMES else ""
    statement = f"from {home} import {name}" if home else _IMPORTS.get(name, "")
    if statement:
        case.draft.add_import(statement)
        return f"import of {name} added"
    for node in cst.parse_module(case.parent).body:
        if isinstance(node, cst.ClassDef) and node.name.value == name:
            case.draft.add_class(syntax.code(node).strip("\n"), name)
            return f"class {name} taken from the parent"
    return _keep_argument(case, name)


def _keep_argument(case: Case, name: str) -> str:
    """Keep an argument of a constructor that ``forward`` reads as if it were its own."""
    for owner in case.failing_classes():
        own = methods(case.draft.reading.roles.classes[owner])
        init, forward = own.get("__init__"), own.get("forward")
        if init is not None and forward is not None and name in syntax.parameter_names(init):
            case.draft.extend_init(owner, f"self.{name} = {name}")
            case.draft.begin_forward(owner, f"{name} = self.{name}")
            return f"{name} kept by the constructor of {owner}"
    return ""


def spell_as_torch_does(case: Case) -> str:
    """``nn.ReLU`` for ``nn.Relu``, ``nn.Conv2d`` for ``torch.Conv2d``, ``F.relu`` for ``nn.relu``."""
    match = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", _text(case.failure))
    found = torch_name(match[2]) if match and match[1].startswith("torch") else ""
    if match is None or not found:
        return ""
    wrong = {node for node in syntax.walk(case.draft.module) if _is_of_torch(node, match[2])}
    edits: dict[cst.CSTNode, cst.CSTNode] = {node: syntax.expression(found) for node in wrong}
    return _replaced(case, edits, f"{found} for {match[2]}")


def _is_of_torch(node: cst.CSTNode, name: str) -> bool:
    owners = ("torch", "nn", "F", "torch.nn", "torch.nn.functional", "nn.functional")
    return isinstance(node, cst.Attribute) and node.attr.value == name and syntax.code(node.value) in owners


def name_no_class_in_super(case: Case) -> str:
    """``super()`` for a ``super(Other, self)`` that names another class."""
    calls = (call for call in syntax.calls(case.draft.module) if syntax.code(call.func) == "super" and call.args)
    edits: dict[cst.CSTNode, cst.CSTNode] = {call: syntax.expression("super()") for call in calls}
    return _replaced(case, edits, "super() names no class")


def take_colour_images(case: Case) -> str:
    """Three as the default of what ``Network`` wants to know of its input."""
    init = case.draft.reading.network.init
    match = re.search(r"missing a required argument: '(\w+)'", _text(case.failure))
    given = list(init.params.params) if init is not None else []
    wanted = [i for i, parameter in enumerate(given) if match is not None and parameter.name.value == match[1]]
    if init is None or not wanted or "channel" not in given[wanted[0]].name.value:
        return ""
    equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
    three = given.pop(wanted[0]).with_changes(default=cst.Integer("3"), equal=equal, comma=cst.MaybeSentinel.DEFAULT)
    given = [parameter.with_changes(comma=syntax.COMMA) for parameter in given]
    name = three.name.value
    case.draft.replace({init: init.with_changes(params=init.params.with_changes(params=[*given, three]))})
    return f"{name} is 3 by default"


def drop_missing_import(case: Case) -> str:
    """Leave an import out whose module does not exist here."""
    match = re.search(r"No module named '([\w.]+)'|cannot import name '\w+' from '([\w.]+)'", _text(case.failure))
    missing = (match[1] or match[2]) if match else ""
    for line in case.draft.module.body:
        for node in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            names = _imported_modules(node)
            if missing and any(name == missing or name.startswith(f"{missing}.") for name in names):
                case.draft.replace({line: cst.RemoveFromParent()})
                return f"import of {missing} left out"
    return ""


def _imported_modules(node: cst.CSTNode) -> list[str]:
    if isinstance(node, cst.ImportFrom) and node.module is not None:
        return [syntax.dotted(node.module)]
    return [syntax.dotted(alias.name) for alias in node.names] if isinstance(node, cst.Import) else []


def drop_refused_statements(case: Case) -> str:
    """Leave out what the policy for sources refuses outside of classes and functions: imports, calls, loops."""
    refused = {int(line) for line in re.findall(r"line (\d+): (?:import|.* outside of)", case.failure.log_tail)}
    statements = [node for node in ast.parse(case.failed).body if node.lineno in refused]
    texts = {ast.get_source_segment(case.failed, node) for node in statements}
    edits: syntax.Edits = {
        line: cst.RemoveFromParent() for line in case.draft.module.body if syntax.code(line).strip() in texts
    }
    return _replaced(case, edits, "what the policy refuses is left out")


def project_shortcut(case: Case) -> str:
    """A pointwise convolution in a shortcut whose width or resolution is not the branch's."""
    for name in case.failing_classes():
        reading = case.draft.read(name)
        found = reading.sum
        if found is None or reading.init is None:
            continue
        given = reading.width_of(found.shortcut) or next(iter(reading.widths), "")
        wanted = reading.width_of(found.branch) or reading.output_width
        is_raw = _is_unchanged(found.shortcut, reading)
        stride = reading.stride if is_raw and reading.stride else "1"
        if not given or not wanted or (given == wanted and stride == "1"):
            continue
        member = case.draft.free_attribute(name, "projection")
        case.draft.wrap(found.shortcut, f"self.{member}({{}})")
        case.draft.extend_init(name, _projection(member, given, wanted, stride))
        return f"projection added to the shortcut of {name}"
    return ""


def _is_unchanged(shortcut: cst.BaseExpression, reading: ClassReading) -> bool:
    """Whether a shortcut hands on what it was given: a variable, or one through members that do nothing."""
    if isinstance(shortcut, cst.Name):
        return not reading.shortcut_members
    values = [value for name in reading.shortcut_members for value in reading.members.get(name, ())]
    return bool(values) and all(syntax.code(value) in ("nn.Identity()", "nn.Sequential()") for value in values)


def _projection(member: str, given: str, wanted: str, stride: str) -> str:
    changes = f"{given} != {wanted}" + (f" or {stride} != 1" if stride != "1" else "")
    return (
        f"self.{member} = nn.Identity()\n"
        f"if {changes}:\n"
        f"    self.{member} = nn.Sequential(nn.Conv2d({given}, {wanted}, 1, {stride}, bias=False), "
        f"nn.BatchNorm2d({wanted}))\n"
    )


def divide_evenly(case: Case) -> str:
    """Groups and heads that divide the width."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for call in syntax.calls(case.draft.module):
        kind = layer_name(call.func)
        bound = {name: syntax.code(a.value) for name, a in syntax.arguments(call, LAYERS.get(kind, ())).items()}
        if kind == "MultiheadAttention" and {"embed_dim", "num_heads"} <= set(bound):
            new = {"num_heads": f"math.gcd({bound['embed_dim']}, {bound['num_heads']})"}
        elif kind == "GroupNorm" and {"num_groups", "num_channels"} <= set(bound):
            new = {"num_groups": f"math.gcd({bound['num_channels']}, {bound['num_groups']})"}
        elif kind == "Conv2d" and {"in_channels", "out_channels", "groups"} <= set(bound):
            widths = f"math.gcd({bound['in_channels']}, {bound['out_channels']})"
            new = {"groups": f"math.gcd({widths}, {bound['groups']})"}
        else:
            continue
        if not any("math.gcd" in bound[name] for name in new):
            edits[call] = syntax.with_arguments(call, LAYERS[kind], new)
    return _replaced(case, edits, "groups and heads divide the width")


def normalize_maps(case: Case) -> str:
    """Normalization layers for four-dimensional maps."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for name in case.failing_classes():
        for call in syntax.calls(case.draft.read(name).node):
            if layer_name(call.func) == "BatchNorm1d":
                edits[call.func] = syntax.expression("nn.BatchNorm2d")
            elif layer_name(call.func) == "LayerNorm" and call.args:
                edits[call] = syntax.expression(f"nn.GroupNorm(1, {syntax.code(call.args[0].value)})")
        if edits:
            break
    return _replaced(case, edits, "normalization for four-dimensional maps")


def lower_last_stride(case: Case) -> str:
    """A larger last map: the last stage that strides keeps the resolution."""
    for stage in reversed(case.draft.reading.stages):
        literal = stride_literal(case.draft, stage)
        if literal is not None and syntax.integer(literal) != 1:
            case.draft.replace({literal: cst.Integer("1")})
            return f"stride 1 in {stage.name}"
    return ""


def repeat_less(case: Case) -> str:
    """Half of the repeats."""
    sizing = Sizing(case.draft)
    halved = tuple(max(2, count // 2) for count in sizing.size.repeats)
    if not halved or sum(halved) >= sum(sizing.size.repeats):
        return ""
    sizing.apply(replace(sizing.size, repeats=halved))
    return f"repeats {', '.join(map(str, halved))}"


def return_result(case: Case) -> str:
    """A ``return`` of the last variable where ``forward`` has none."""
    for name in case.draft.reading.roles.classes:
        reading = case.draft.read(name)
        variable = _last_variable(reading)
        if reading.forward is not None and reading.result is None and variable:
            body = reading.forward.body
            added = syntax.statements(f"return {variable}")
            case.draft.replace({body: body.with_changes(body=[*body.body, *added])})
            return f"return added to {name}"
    return ""


def _last_variable(reading: ClassReading) -> str:
    found = reading.input
    for node in syntax.walk(reading.forward.body) if reading.forward else ():
        if isinstance(node, cst.AssignTarget) and isinstance(node.target, cst.Name):
            found = node.target.value
    return found


def map_channels(case: Case) -> str:
    """Pointwise convolutions for linear layers that are given a map."""
    owner = case.innermost
    if owner in ("", "Network") or owner not in case.draft.reading.roles.classes:
        return ""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for call in syntax.calls(case.draft.read(owner).node):
        bound = syntax.arguments(call, LAYERS["Linear"]) if layer_name(call.func) == "Linear" else {}
        if {"in_features", "out_features"} <= set(bound):
            widths = ", ".join(syntax.code(bound[name].value) for name in ("in_features", "out_features"))
            bias = f", bias={syntax.code(bound['bias'].value)}" if "bias" in bound else ""
            edits[call] = syntax.expression(f"nn.Conv2d({widths}, 1{bias})")
    return _replaced(case, edits, f"pointwise convolutions for linear layers of {owner}")


def match_head(case: Case) -> str:
    """As many inputs of the classifier as there are features."""
    match = re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", _text(case.failure))
    head = case.draft.reading.head
    bound = syntax.arguments(head[1], LAYERS["Linear"]) if head else {}
    if match is None or "in_features" not in bound or case.innermost not in ("", "Network"):
        return ""
    return _replaced(case, {bound["in_features"].value: cst.Integer(match[2])}, f"{match[2]} inputs of the head")


def write_anew(case: Case) -> str:
    """No operation in place: neither activations nor assignments such as ``x *= y``."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in syntax.walk(case.draft.module):
        if isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "inplace":
            edits[node.value] = cst.Name("False")
        elif isinstance(node, cst.AugAssign):
            operator = syntax.code(node.operator).strip().removesuffix("=")
            target = syntax.code(node.target)
            (line,) = syntax.statements(f"{target} = {target} {operator} ({syntax.code(node.value)})")
            assert isinstance(line, cst.SimpleStatementLine)
            edits[node] = line.body[0]
    changed = {old: new for old, new in edits.items() if syntax.code(old) != syntax.code(new)}
    return _replaced(case, changed, "nothing is written in place")


def reshape_instead_of_view(case: Case) -> str:
    """``reshape``, which also takes tensors that do not lie in one piece."""
    attributes = (node for node in syntax.walk(case.draft.module) if isinstance(node, cst.Attribute))
    edits: dict[cst.CSTNode, cst.CSTNode] = {
        node.attr: cst.Name("reshape") for node in attributes if node.attr.value == "view"
    }
    return _replaced(case, edits, "reshape instead of view")


def call_parent_init(case: Case) -> str:
    """``super().__init__()`` first, where it is left out."""
    for name, node in case.draft.reading.roles.classes.items():
        init = methods(node).get("__init__")
        if init is not None and "super(" not in syntax.code(init.body):
            case.draft.begin_init(name, "super().__init__()")
            return f"super().__init__() added to {name}"
    return ""


def stay_on_device(case: Case) -> str:
    """No tensor is moved to a device by name."""
    moves = re.compile(r"\.(cuda\([^()]*\)|to\(\s*(device=)?[\"']cuda)")
    note = ""
    while found := next((call for call in syntax.calls(case.draft.module) if _moves(call, moves)), None):
        assert isinstance(found.func, cst.Attribute)
        note = _replaced(case, {found: found.func.value}, "nothing is moved to a device")
    return note


def _moves(call: cst.Call, pattern: re.Pattern[str]) -> bool:
    if not isinstance(call.func, cst.Attribute):
        return False
    return pattern.match(syntax.code(call).removeprefix(syntax.code(call.func.value))) is not None


def _replaced(case: Case, edits: syntax.Edits, note: str) -> str:
    if not edits:
        return ""
    case.draft.replace(edits)
    case.draft.require_imports(case.draft.module)
    return note


def _text(failure: Failure) -> str:
    return f"{failure.kind}\n{failure.message}\n{failure.log_tail}"


def _symptom(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_TOO_SMALL = (
    r"more than 1 value per channel|can't be greater than actual|output size is too small|padding size should be"
)
_NO_INIT = r"before Module\.__init__\(\) call|has no attribute '_(modules|parameters)'"

REPAIRS = (
    Repair("misspelt name", _symptom(r"module '[\w.]+' has no attribute '\w+'"), spell_as_torch_does),
    Repair("parent's init by name", _symptom(r"super\(type, obj\)"), name_no_class_in_super),
    Repair("input channels", _symptom(r"missing a required argument: '\w*(in|input)_\w+'"), take_colour_images),
    Repair("missing name", _symptom(r"name '\w+' is not defined"), add_missing_name),
    Repair("missing module", _symptom(r"No module named|cannot import name"), drop_missing_import),
    Repair("policy", _symptom(rf"^{FailureKind.POLICY}\n"), drop_refused_statements, is_certain=False),
    Repair("residual sum", _symptom(r"size of tensor a .* must match the size of tensor b"), project_shortcut),
    Repair("divisibility", _symptom(r"must be divisible by|divisible by num_"), divide_evenly, is_certain=False),
    Repair("normalization", _symptom(r"expected 2D or 3D input|normalized_shape="), normalize_maps, is_certain=False),
    Repair("small map", _symptom(_TOO_SMALL), lower_last_stride, is_certain=False),
    Repair("too large", _symptom(rf"^({FailureKind.MEMORY}|{FailureKind.TIMEOUT})\n"), repeat_less, is_certain=False),
    Repair("nothing returned", _symptom(r"NoneType|return missing"), return_result),
    Repair("linear on a map", _symptom(r"mat1 and mat2 shapes cannot be multiplied"), map_channels, is_certain=False),
    Repair("head", _symptom(r"mat1 and mat2 shapes cannot be multiplied"), match_head),
    Repair("in place", _symptom(r"modified by an inplace operation|in-place operation"), write_anew),
    Repair("view", _symptom(r"view size is not compatible"), reshape_instead_of_view),
    Repair("parent's init", _symptom(_NO_INIT), call_parent_init),
    Repair("device", _symptom(r"compiled with CUDA|no NVIDIA|No CUDA GPUs|CUDA driver"), stay_on_device),
)
"""Every cure, in the order they are tried; all whose symptom shows are applied."""
