"""Known repairs for sources that do not run, each with its symptom (paper F.2.5)."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.insertions import stride_literal
from agents.builtin.scaling import Sizing
from agents.builtin.size_inference import methods
from agents.builtin.source_editor import IMPORTS, SourceEditor
from agents.builtin.torch_layers import FUNCTION_NAMES, LAYER_NAMES, LAYERS, layer_arguments, layer_name, torch_name
from fairnad.records.candidate import Failure, FailureKind

_IMPORTS = {
    **IMPORTS,
    "partial": "from functools import partial",
    "reduce": "from functools import reduce",
    "Tensor": "from torch import Tensor",
    "Optional": "from typing import Optional",
    "List": "from typing import List",
    "Tuple": "from typing import Tuple",
    "trunc_normal_": "from torch.nn.init import trunc_normal_",
}


@dataclass(frozen=True)
class Case:
    """A failed source; ``lines`` are those of the source that the traceback names, innermost last."""

    editor: SourceEditor
    failure: Failure
    parent: str
    lines: tuple[int, ...]
    failed: str

    def failing_classes(self) -> list[str]:
        """The classes in the traceback, innermost first; all classes if it names none."""
        known = self.editor.reading.sizes.classes
        named = [name for name in dict.fromkeys(self._find_traced()) if name in known and name != "Network"]
        return named or [name for name in known if name != "Network"]

    @property
    def innermost(self) -> str:
        """The class where the traceback ends, or ``""``."""
        return next(iter(self._find_traced()), "")

    def _find_traced(self) -> list[str]:
        classes = [node for node in ast.parse(self.failed).body if isinstance(node, ast.ClassDef)]
        spans = [(node.name, range(node.lineno, (node.end_lineno or node.lineno) + 1)) for node in classes]
        return [name for line in reversed(self.lines) for name, span in spans if line in span]


@dataclass(frozen=True)
class Repair:
    """One repair; ``apply`` edits the source and returns a note, or ``""`` if it does not apply.

    A certain repair restores the intended network; the others change it into a different network that runs.
    """

    name: str
    symptom: re.Pattern[str]
    apply: Callable[[Case], str]
    is_certain: bool = True


def add_missing_name(case: Case) -> str:
    """Import a name that is used without an import; copy a missing class from the parent."""
    match = re.search(r"name '(\w+)' is not defined", _text(case.failure))
    name = match[1] if match else ""
    home = "torch.nn" if name in LAYER_NAMES else "torch.nn.functional" if name in FUNCTION_NAMES else ""
    statement = f"from {home} import {name}" if home else _IMPORTS.get(name, "")
    if statement:
        case.editor.add_import(statement)
        return f"added import of {name}"
    for node in cst.parse_module(case.parent).body:
        if isinstance(node, cst.ClassDef) and node.name.value == name:
            case.editor.add_class(syntax.code(node).strip("\n"), name)
            return f"copied class {name} from the parent"
    return _keep_argument(case, name)


def _keep_argument(case: Case, name: str) -> str:
    """Store an argument of the constructor that ``forward`` reads as a variable."""
    for owner in case.failing_classes():
        own = methods(case.editor.reading.sizes.classes[owner])
        init, forward = own.get("__init__"), own.get("forward")
        if init is not None and forward is not None and name in syntax.parameter_names(init):
            case.editor.extend_init(owner, f"self.{name} = {name}")
            case.editor.begin_forward(owner, f"{name} = self.{name}")
            return f"stored {name} in the constructor of {owner}"
    return ""


def correct_spelling(case: Case) -> str:
    """``nn.ReLU`` for ``nn.Relu``, ``nn.Conv2d`` for ``torch.Conv2d``, ``F.relu`` for ``nn.relu``."""
    match = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", _text(case.failure))
    found = torch_name(match[2]) if match and match[1].startswith("torch") else ""
    if match is None or not found:
        return ""
    wrong = {node for node in syntax.walk(case.editor.module) if _is_of_torch(node, match[2])}
    edits: dict[cst.CSTNode, cst.CSTNode] = {node: syntax.expression(found) for node in wrong}
    return _replace(case, edits, f"corrected {match[2]} to {found}")


def _is_of_torch(node: cst.CSTNode, name: str) -> bool:
    owners = ("torch", "nn", "F", "torch.nn", "torch.nn.functional", "nn.functional")
    return isinstance(node, cst.Attribute) and node.attr.value == name and syntax.code(node.value) in owners


def simplify_super(case: Case) -> str:
    """``super()`` for ``super(Other, self)``, which names another class."""
    calls = (call for call in syntax.calls(case.editor.module) if syntax.code(call.func) == "super" and call.args)
    edits: dict[cst.CSTNode, cst.CSTNode] = {call: syntax.expression("super()") for call in calls}
    return _replace(case, edits, "removed the arguments of super()")


def default_input_channels(case: Case) -> str:
    """3 as the default of the input channels of ``Network``."""
    init = case.editor.reading.network.init
    match = re.search(r"missing a required argument: '(\w+)'", _text(case.failure))
    given = list(init.params.params) if init is not None else []
    wanted = [i for i, parameter in enumerate(given) if match is not None and parameter.name.value == match[1]]
    if init is None or not wanted or "channel" not in given[wanted[0]].name.value:
        return ""
    name = given.pop(wanted[0]).name.value
    given = [parameter.with_changes(comma=syntax.COMMA) for parameter in given]
    params = init.params.with_changes(params=[*given, syntax.default_parameter(name, "3")])
    case.editor.replace({init: init.with_changes(params=params)})
    return f"set the default of {name} to 3"


def drop_missing_import(case: Case) -> str:
    """Remove an import of a module that does not exist here."""
    match = re.search(r"No module named '([\w.]+)'|cannot import name '\w+' from '([\w.]+)'", _text(case.failure))
    missing = (match[1] or match[2]) if match else ""
    for line in case.editor.module.body:
        for node in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            names = _imported_modules(node)
            if missing and any(name == missing or name.startswith(f"{missing}.") for name in names):
                case.editor.replace({line: cst.RemoveFromParent()})
                return f"removed import of {missing}"
    return ""


def _imported_modules(node: cst.CSTNode) -> list[str]:
    if isinstance(node, cst.ImportFrom) and node.module is not None:
        return [syntax.dotted(node.module)]
    return [syntax.dotted(alias.name) for alias in node.names] if isinstance(node, cst.Import) else []


def drop_refused_statements(case: Case) -> str:
    """Remove top-level statements that the source policy refuses: imports, calls, loops."""
    refused = {int(line) for line in re.findall(r"line (\d+): (?:import|.* outside of)", case.failure.log_tail)}
    statements = [node for node in ast.parse(case.failed).body if node.lineno in refused]
    texts = {ast.get_source_segment(case.failed, node) for node in statements}
    edits: syntax.Edits = {
        line: cst.RemoveFromParent() for line in case.editor.module.body if syntax.code(line).strip() in texts
    }
    return _replace(case, edits, "removed statements that the policy refuses")


def project_shortcut(case: Case) -> str:
    """Add a pointwise convolution to a shortcut whose width or resolution differs from the branch."""
    for name in case.failing_classes():
        reading = case.editor.read(name)
        found = reading.sum
        if found is None or reading.init is None:
            continue
        given = reading.width_of(found.shortcut) or next(iter(reading.widths), "")
        wanted = reading.width_of(found.branch) or reading.output_width
        is_raw = _is_unchanged(found.shortcut, reading)
        stride = reading.stride if is_raw and reading.stride else "1"
        if not given or not wanted or (given == wanted and stride == "1"):
            continue
        member = case.editor.free_attribute(name, "projection")
        case.editor.wrap(found.shortcut, f"self.{member}({{}})")
        case.editor.extend_init(name, _projection(member, given, wanted, stride))
        return f"added a projection to the shortcut of {name}"
    return ""


def _is_unchanged(shortcut: cst.BaseExpression, reading: ClassReading) -> bool:
    """Whether a shortcut is the unchanged input: a variable, or the result of members that do nothing."""
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
    """Make groups and heads divide the width."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for call in syntax.calls(case.editor.module):
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
    return _replace(case, edits, "made groups and heads divide the width")


def normalize_maps(case: Case) -> str:
    """Use normalization layers for four-dimensional maps."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for name in case.failing_classes():
        for call in syntax.calls(case.editor.read(name).node):
            if layer_name(call.func) == "BatchNorm1d":
                edits[call.func] = syntax.expression("nn.BatchNorm2d")
            elif layer_name(call.func) == "LayerNorm" and call.args:
                edits[call] = syntax.expression(f"nn.GroupNorm(1, {syntax.code(call.args[0].value)})")
        if edits:
            break
    return _replace(case, edits, "used normalization for feature maps")


def lower_last_stride(case: Case) -> str:
    """Set the last stride to 1, for a larger last map."""
    for stage in reversed(case.editor.reading.stages):
        literal = stride_literal(case.editor, stage)
        if literal is not None and syntax.integer(literal) != 1:
            case.editor.replace({literal: cst.Integer("1")})
            return f"set the stride of {stage.name} to 1"
    return ""


def repeat_less(case: Case) -> str:
    """Halve the repeats."""
    sizing = Sizing(case.editor)
    halved = tuple(max(2, count // 2) for count in sizing.repeats)
    return sizing.apply(replace(sizing.size, repeats=halved)) if sum(halved) < sum(sizing.repeats) else ""


def return_result(case: Case) -> str:
    """Return the last variable from a ``forward`` without ``return``."""
    for name in case.editor.reading.sizes.classes:
        reading = case.editor.read(name)
        variable = _last_variable(reading)
        if reading.forward is not None and reading.result is None and variable:
            body = reading.forward.body
            added = syntax.statements(f"return {variable}")
            case.editor.replace({body: body.with_changes(body=[*body.body, *added])})
            return f"added return to {name}"
    return ""


def _last_variable(reading: ClassReading) -> str:
    found = reading.input
    for node in syntax.walk(reading.forward.body) if reading.forward else ():
        if isinstance(node, cst.AssignTarget) and isinstance(node.target, cst.Name):
            found = node.target.value
    return found


def map_channels(case: Case) -> str:
    """Replace linear layers that get a map with pointwise convolutions."""
    owner = case.innermost
    if owner in ("", "Network") or owner not in case.editor.reading.sizes.classes:
        return ""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for call in syntax.calls(case.editor.read(owner).node):
        bound = {name: syntax.code(value) for name, value in layer_arguments(call, "Linear").items()}
        if {"in_features", "out_features"} <= set(bound):
            widths = f"{bound['in_features']}, {bound['out_features']}"
            bias = f", bias={bound['bias']}" if "bias" in bound else ""
            edits[call] = syntax.expression(f"nn.Conv2d({widths}, 1{bias})")
    return _replace(case, edits, f"replaced linear layers of {owner} with pointwise convolutions")


def match_head(case: Case) -> str:
    """Set the inputs of the classifier to the number of features."""
    match = re.search(r"\((\d+)x(\d+) and (\d+)x(\d+)\)", _text(case.failure))
    head = case.editor.reading.head
    bound = layer_arguments(head[1], "Linear") if head else {}
    if match is None or "in_features" not in bound or case.innermost not in ("", "Network"):
        return ""
    return _replace(case, {bound["in_features"]: cst.Integer(match[2])}, f"set the inputs of the head to {match[2]}")


def avoid_in_place(case: Case) -> str:
    """Replace in-place operations: activations, and assignments such as ``x *= y``."""
    edits: dict[cst.CSTNode, cst.CSTNode] = {}
    for node in syntax.walk(case.editor.module):
        if isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "inplace":
            edits[node.value] = cst.Name("False")
        elif isinstance(node, cst.AugAssign):
            operator = syntax.code(node.operator).strip().removesuffix("=")
            target = syntax.code(node.target)
            (line,) = syntax.statements(f"{target} = {target} {operator} ({syntax.code(node.value)})")
            assert isinstance(line, cst.SimpleStatementLine)
            edits[node] = line.body[0]
    changed = {old: new for old, new in edits.items() if syntax.code(old) != syntax.code(new)}
    return _replace(case, changed, "replaced in-place operations")


def reshape_instead_of_view(case: Case) -> str:
    """Use ``reshape``, which also accepts tensors that are not contiguous."""
    attributes = (node for node in syntax.walk(case.editor.module) if isinstance(node, cst.Attribute))
    edits: dict[cst.CSTNode, cst.CSTNode] = {
        node.attr: cst.Name("reshape") for node in attributes if node.attr.value == "view"
    }
    return _replace(case, edits, "replaced view with reshape")


def call_parent_init(case: Case) -> str:
    """Add a missing ``super().__init__()``."""
    for name, node in case.editor.reading.sizes.classes.items():
        init = methods(node).get("__init__")
        if init is not None and "super(" not in syntax.code(init.body):
            case.editor.begin_init(name, "super().__init__()")
            return f"added super().__init__() to {name}"
    return ""


def stay_on_device(case: Case) -> str:
    """Remove moves to a CUDA device."""
    moves = re.compile(r"\.(cuda\([^()]*\)|to\(\s*(device=)?[\"']cuda)")
    note = ""
    while found := next((call for call in syntax.calls(case.editor.module) if _moves(call, moves)), None):
        assert isinstance(found.func, cst.Attribute)
        note = _replace(case, {found: found.func.value}, "removed moves to a device")
    return note


def _moves(call: cst.Call, pattern: re.Pattern[str]) -> bool:
    if not isinstance(call.func, cst.Attribute):
        return False
    return pattern.match(syntax.code(call).removeprefix(syntax.code(call.func.value))) is not None


def _replace(case: Case, edits: syntax.Edits, note: str) -> str:
    if not edits:
        return ""
    case.editor.replace(edits)
    case.editor.require_imports(case.editor.module)
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
    Repair("misspelt name", _symptom(r"module '[\w.]+' has no attribute '\w+'"), correct_spelling),
    Repair("parent's init by name", _symptom(r"super\(type, obj\)"), simplify_super),
    Repair("input channels", _symptom(r"missing a required argument: '\w*(in|input)_\w+'"), default_input_channels),
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
    Repair("in place", _symptom(r"modified by an inplace operation|in-place operation"), avoid_in_place),
    Repair("view", _symptom(r"view size is not compatible"), reshape_instead_of_view),
    Repair("parent's init", _symptom(_NO_INIT), call_parent_init),
    Repair("device", _symptom(r"compiled with CUDA|no NVIDIA|No CUDA GPUs|CUDA driver"), stay_on_device),
)
"""Every repair, in the order of use; all whose symptom matches are applied."""
