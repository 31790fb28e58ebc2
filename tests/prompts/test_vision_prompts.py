"""What the vision pack's prompts say: whole, as golden text, and point by point."""

import ast
import os
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from fairnad.ideas.checked_modules import CheckedModule
from prompts.loader import Pack, load_pack

GOLDEN = Path(__file__).parent / "golden"
PARENT = "import torch.nn as nn\n\n\nclass Network(nn.Module):\n    width = 16\n"
CHANGED = PARENT.replace("16", "24")
TRACEBACK = "Traceback (most recent call last):\n  …\nRuntimeError: size 16 does not match size 24"
REFINEMENT: dict[str, object] = {
    "current": CHANGED,
    "previous": PARENT,
    "idea": "Widen the network.",
    "performance_attributes": {"operation": {"activation": ["gelu", "relu"], "normalization": []}},
    "efficiency_attributes": {"network": {"scaling": ["compound scaling"]}},
    "refinement_ideas": ("Repeat more.", "Change a stride."),
}
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "mutation": ("mutation", {"idea": "Design a new module: gate the channels.", "parent": PARENT}),
    "debug": (
        "debug",
        {
            "failed": CHANGED,
            "parent": PARENT,
            "prompt": "Design a new module: gate the channels.",
            "error": "shape: size 16 does not match size 24",
            "traceback": TRACEBACK,
            "shapes": "gate Gate: (4, 16, 8, 8) → it did not return",
        },
    ),
    "debug_shortened": (
        "debug",
        {"failed": CHANGED, "parent": "", "prompt": "", "error": "shape: 16 is not 24", "traceback": "", "shapes": ""},
    ),
    "downscale_shrink": (
        "downscale",
        {
            "oversized": CHANGED,
            "parent": PARENT,
            "prompt": "Design a new module: gate the channels.",
            "shrinking": "Lower all channel numbers.",
            "single_use": False,
        },
    ),
    "downscale_single_use": (
        "downscale",
        {
            "oversized": CHANGED,
            "parent": PARENT,
            "prompt": "Design a new module: gate the channels.",
            "shrinking": "Use the module once.",
            "single_use": True,
        },
    ),
    "idea_mutation_improved": ("idea_mutation_improved", REFINEMENT),
    "idea_mutation_degraded": ("idea_mutation_degraded", REFINEMENT),
    "idea_mutation_shortened": (
        "idea_mutation_improved",
        {**REFINEMENT, **dict.fromkeys(("performance_attributes", "efficiency_attributes", "refinement_ideas"), "")},
    ),
    "structural_judge": ("structural_judge", {"judged": CHANGED, "parent": PARENT}),
    "mutation_edit": ("mutation_edit", {"idea": "Design a new module: gate the channels.", "parent": PARENT}),
    "mutation_module": (
        "mutation_module",
        {
            "idea": "Gate the channels.",
            "places": ["behind the stem: 4 × 8 × 8", "behind `self.layers1`: 8 × 4 × 4"],
        },
    ),
    "mutation_with_parts": (
        "mutation",
        {
            "idea": "Design a new module: gate the channels.",
            "parent": PARENT,
            "lessons": ("A gate: +1.2 points",),
            "parts": [
                CheckedModule("pack/Gate", "Gate", "Gates the channels.", "class Gate: pass"),
                CheckedModule("pack/Mix", "Mix", "Mixes the channels.", "class Mix: pass"),
            ],
        },
    ),
    "idea_mutation_edit_improved": ("idea_mutation_edit", {**REFINEMENT, "improved": True}),
    "idea_mutation_edit_degraded": ("idea_mutation_edit", {**REFINEMENT, "improved": False}),
}
for _role in ("debug", "downscale"):
    CASES |= {
        name.replace(_role, f"{_role}_edit"): (f"{_role}_edit", variables)
        for name, (role, variables) in [*CASES.items()]
        if role == _role
    }


@pytest.fixture
def pack(folder: Path) -> Pack:
    return load_pack(str(folder))


def rendered(pack: Pack, case: str) -> str:
    role, variables = CASES[case]
    return "\n".join(f"[{name}]\n{text}" for name, text in pack.messages(role, **variables))


@pytest.mark.parametrize("case", CASES)
def test_a_prompt_reads_as_agreed(pack: Pack, case: str) -> None:
    """The files in golden/ are written anew with WRITE_GOLDEN=1 in the environment; read the difference."""
    text, path = rendered(pack, case), GOLDEN / f"{case}.txt"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_golden_file_belongs_to_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)


SOURCE_RULES = [
    "PyTorch only",
    "Import everything you use",
    "Keep every class and function that is there",
    "takes images of shape (B, 3, H, W) and returns scores of shape (B, num_classes)",
    "Shapes must fit",
    "no usage example",
    "the complete file in one single code block",
]
EDIT_RULES = ["<<<<<<< OLD\n", "\n=======\n", "\n>>>>>>> NEW\n", "as it needs to stand only once", "Shapes must fit"]
SAID = {
    "mutation": [
        "Design a new module: gate the channels.",  # the idea, worded for its target
        PARENT,
        "Plan first",
        "step by step",
        *SOURCE_RULES,
    ],
    "debug": [
        CHANGED,
        PARENT,
        TRACEBACK,
        "Design a new module: gate the channels.",  # the original prompt
        "Take out, switch off or bypass nothing",
        "An import is missing",
        "`import torch`",
        "**Out of memory",
        "use it in fewer places, or repeat it less often",
        "let every `forward` return its tensor",
        "Choose a number of heads that divides the width without remainder",
        "The map has shrunk to 1×1, which batch normalization cannot take: use smaller strides",
        "nn.LayerNorm(channels)",
        "nn.Conv1d(channels",
        "nn.MultiheadAttention(channels",
        *SOURCE_RULES,
    ],
    "downscale_shrink": [
        CHANGED,
        PARENT,
        "Design a new module: gate the channels.",
        "Lower all channel numbers.",
        "The module that was added or changed since the parent stays",
        *SOURCE_RULES,
    ],
    "downscale_single_use": [
        CHANGED,
        PARENT,
        "Design a new module: gate the channels.",
        "Use the module once.",
        "Use it once, and only once",
        "For example",
        "self.added = NewBlock(width, width)",
        *SOURCE_RULES,
    ],
    "idea_mutation_improved": [
        CHANGED,
        PARENT,
        "The last idea was: Widen the network.\nIt improved the network.",
        "  - activation: gelu, relu\n  - normalization\n",
        "  - scaling: compound scaling\n",
        "- Repeat more.\n- Change a stride.\n",
        "same or a similar category",
        "another way to scale",
        "in fewer than 50 words",
        *SOURCE_RULES,
    ],
    "idea_mutation_degraded": [
        CHANGED,
        PARENT,
        "The last idea was: Widen the network.\nIt did not improve the network.",
        "  - activation: gelu, relu\n  - normalization\n",
        "  - scaling: compound scaling\n",
        "- Repeat more.\n- Change a stride.\n",
        "opposite effect, or one of a different category",
        "an idea that is no refinement",
        "To undo the last change is not enough",
        "in fewer than 50 words",
        *SOURCE_RULES,
    ],
    "mutation_edit": ["Design a new module: gate the channels.", PARENT, *EDIT_RULES],
    "mutation_module": [
        "The idea to write the class after: Gate the channels.",
        "1. behind the stem: 4 × 8 × 8\n2. behind `self.layers1`: 8 × 4 × 4\n",
        "Nothing of the network exists inside the module",
        "`__init__` takes `channels` and nothing else",
        "exactly the shape of `x`",
        "one line `Place: ` with the number of a place",
    ],
    "debug_edit": [
        CHANGED,
        PARENT,
        TRACEBACK,
        "Design a new module: gate the channels.",
        "take out, switch off or bypass nothing",
        "An import is missing",
        *EDIT_RULES,
    ],
    "downscale_edit_single_use": [CHANGED, PARENT, "Use it once, and only once", *EDIT_RULES],
    "idea_mutation_edit_improved": [
        f"which you edit:\n\n```python\n{CHANGED}",
        PARENT,
        "It improved the network.",
        "  - scaling: compound scaling\n",
        "in fewer than 50 words",
        *EDIT_RULES,
    ],
    "idea_mutation_edit_degraded": [
        f"which you edit:\n\n```python\n{PARENT}",
        CHANGED,
        "It did not improve the network.",
        "opposite effect, or one of a different category",
        *EDIT_RULES,
    ],
    "structural_judge": [
        CHANGED,
        PARENT,
        "differs from the parent's",
        "two or more times in series",
        "##response## yes or no",
    ],
}


@pytest.mark.parametrize("case", SAID)
def test_a_prompt_holds_what_its_role_needs(pack: Pack, case: str) -> None:
    text = rendered(pack, case)
    assert [said for said in SAID[case] if said not in text] == []


def test_a_shortened_prompt_does_not_speak_of_what_was_left_out(pack: Pack) -> None:
    debug, idea = rendered(pack, "debug_shortened"), rendered(pack, "idea_mutation_shortened")
    assert not re.search(r"Its parent|made from its parent|Traceback", debug)
    assert not re.search(r"Categories that improve|^Model refinement", idea, re.MULTILINE)


@pytest.mark.parametrize("channels", [5, 16])
def test_the_modules_the_debug_prompt_shows_keep_the_shape_of_a_map(pack: Pack, channels: int) -> None:
    names: dict[str, type[nn.Module]] = {}
    examples = re.findall(r"```python\n(.*?)```", pack.messages("debug", **CASES["debug"][1])[0][1], re.DOTALL)
    for example in examples:
        exec(example, {"nn": nn}, names)  # our own text
    assert set(names) == {"ChannelNorm", "PositionConv", "PositionAttention"}
    images = torch.randn(2, channels, 4, 6)
    for module in names.values():
        assert module(channels)(images).shape == images.shape


def test_the_single_use_example_is_python(pack: Pack) -> None:
    system = pack.messages("downscale", **CASES["downscale_single_use"][1])[0][1]
    (example,) = re.findall(r"```python\n(.*?)```", system, re.DOTALL)
    assert ast.parse(example)


@pytest.mark.parametrize("role", ["mutation", "idea_mutation_improved", "idea_mutation_degraded"])
def test_lessons_are_shown_where_there_are_any(role: str) -> None:
    pack, variables = load_pack("vision"), CASES[role][1]
    without = pack.messages(role, **variables)
    told = pack.messages(role, **variables, lessons=("A gate: +1.2 points", "Grouped: shape, 1 of 2"))
    heading = "What earlier ideas of this kind came to, in this search:"
    lines = f"{heading}\n\n- A gate: +1.2 points\n- Grouped: shape, 1 of 2\n\n"
    assert lines in told[1][1]
    assert told[1][1].replace(lines, "") == without[1][1]
