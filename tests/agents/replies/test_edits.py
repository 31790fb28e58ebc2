"""Edits of a source: found exactly, loosely or by likeness, refused where that is not safe."""

import difflib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import prompts.loader
from agents.replies.edits import Edit, EditError, NoEditError, apply_edits, merge_classes

MODELS = Path(prompts.loader.__file__).parent / "vision" / "models"
SOURCE = (MODELS / "small_resnet.py").read_text()
LINES = SOURCE.split("\n")
NORM = "        self.norm2 = nn.BatchNorm2d(out_channels)"
CONV = "        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size, 1, padding, bias=False)"


def edits_between(old: list[str], new: list[str], num_around: int) -> list[Edit]:
    """Edits that make one text into another, with so many lines around each change."""
    edits = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(num_around):
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        edits.append(Edit("\n".join(old[old_start:old_end]), "\n".join(new[new_start:new_end])))
    return edits


changes = st.lists(
    st.tuples(st.integers(0, len(LINES) - 1), st.sampled_from(["        added = 1", "    # why", "x = 2"])), max_size=6
)


@given(changes, st.sets(st.integers(0, len(LINES) - 1), max_size=4))
def test_edits_made_of_the_difference_of_two_sources_lead_from_one_to_the_other(added, removed) -> None:
    target = [line for i, line in enumerate(LINES) if i not in removed or not line.strip()]
    for place, line in added:
        target.insert(min(place, len(target)), line)
    if target == LINES:
        return
    # Whole sources around every change: each piece stands only once, whatever was drawn.
    assert apply_edits(SOURCE, edits_between(LINES, target, len(LINES))).source.strip() == "\n".join(target).strip()


@pytest.mark.parametrize("other", sorted(MODELS.glob("*.py")), ids=lambda path: path.stem)
def test_every_model_of_the_pack_can_be_reached_by_edits_from_another(other: Path) -> None:
    target = other.read_text()
    edited = apply_edits(SOURCE, edits_between(LINES, target.split("\n"), 400)) if target != SOURCE else None
    assert edited is None or edited.source.strip() == target.strip()


def test_several_edits_are_carried_out_in_order() -> None:
    edits = [
        Edit(NORM, NORM + "\n        self.gate = Gate(out_channels)"),
        Edit("", "class Gate(nn.Module):\n    pass"),
        Edit("", "import math"),
    ]
    source = apply_edits(SOURCE, edits).source
    assert f"{NORM}\n        self.gate = Gate(out_channels)\n        self.act" in source
    assert "\n\n\nclass Gate(nn.Module):\n    pass\n\n\nclass Network(" in source
    assert "\nimport math\nimport torch\n" in source


@pytest.mark.parametrize(
    "old",
    [
        "self.norm2 = nn.BatchNorm2d(out_channels)\nself.act = nn.ReLU()",
        "\tself.norm2 = nn.BatchNorm2d(out_channels)\n\tself.act = nn.ReLU()",
        "    self.norm2=nn.BatchNorm2d( out_channels )\n\n    self.act = nn.ReLU()  ",
    ],
)
def test_blanks_do_not_matter_and_what_is_new_gets_the_indentation_of_the_place(old: str) -> None:
    first = old.split("\n")[0].expandtabs(4)
    indent = first[: len(first) - len(first.lstrip())]
    new = old + f"\n{indent}if use_se:\n{indent}    self.act = nn.SiLU()"
    source = apply_edits(SOURCE, [Edit(old, new)]).source
    assert "\n        self.act = nn.ReLU()\n        if use_se:\n            self.act = nn.SiLU()\n" in source


def test_similar_lines_are_taken_where_no_others_are_as_similar() -> None:
    old = "self.shortcut = Downsample(in_channels, out_channels, stride=stride)"
    edited = apply_edits(SOURCE, [Edit(old, "self.shortcut = nn.Identity()")])
    assert "        if stride > 1:\n            self.shortcut = nn.Identity()\n" in edited.source
    assert edited.remarks == ("edit 1 matches similar lines only",)


def test_a_part_of_a_line_is_enough() -> None:
    edited = apply_edits(SOURCE, [Edit("self._make_layers(8, 8, repeats=2", "self._make_layers(8, 8, repeats=3")])
    assert "self.layers3 = self._make_layers(8, 8, repeats=3, stride=2)" in edited.source


def refusal(*edits: Edit, source: str = SOURCE) -> NoEditError:
    with pytest.raises(NoEditError) as caught:
        apply_edits(source, edits)
    return caught.value


def test_a_piece_that_stands_in_several_places_is_refused() -> None:
    error = refusal(Edit("        super().__init__()", "        pass"))
    assert str(error).startswith("edit 1 matches several places, lines 10 and 23 and")
    assert str(error).endswith("add the lines around it")


def test_a_piece_that_is_like_several_places_alike_is_refused() -> None:
    error = refusal(
        Edit("a.first = Layer(width, 3)", "pass"), source="a.first = Layer(width, 1)\na.first = Layer(width, 2)\n"
    )
    assert "matches several places equally: copy the lines" in str(error)


def test_a_piece_that_is_nowhere_is_named_with_the_closest_lines() -> None:
    error = refusal(Edit(NORM, NORM.replace("Batch", "Group")), Edit("self.gate = Gate(planes)\nself.more = 3", "x"))
    assert isinstance(error, EditError)
    assert str(error) == "edit 2, which begins with 'self.gate = Gate(planes)', is not in the file"


def test_the_closest_lines_carry_their_numbers() -> None:
    error = refusal(Edit("self.norm2 = nn.LayerNorm(channels)\nself.act = nn.ReLU6()", "x"))
    assert isinstance(error, EditError)
    assert error.closest == f"50: {NORM}\n51:         self.act = nn.ReLU()"


def test_an_edit_of_what_an_earlier_one_wrote_is_refused() -> None:
    error = refusal(Edit(NORM, NORM.replace("Batch", "Instance")), Edit(NORM.replace("Batch", "Instance"), NORM))
    assert str(error) == "edit 2 overlaps edit 1 at line 50: write the two as one"


def test_edits_that_change_nothing_are_refused_together_and_told_one_by_one() -> None:
    assert str(refusal(Edit(NORM, NORM + "\n"))) == "the edits change nothing"
    edited = apply_edits(SOURCE, [Edit(CONV, CONV), Edit(NORM, NORM.replace("Batch", "Instance"))])
    assert edited.remarks == ("edit 1 changes nothing",)


def test_a_class_that_is_there_already_is_exchanged() -> None:
    stem = "class Stem(nn.Module):\n    def forward(self, x):\n        return x"
    for edited in (apply_edits(SOURCE, [Edit("", stem)]), merge_classes(SOURCE, f"import math\n\n\n{stem}\n")):
        assert edited.source.count("class Stem") == 1
        assert f"{stem}\n\n\nclass DownsampleBlock" in edited.source


def test_classes_cannot_be_replaced_in_what_does_not_parse() -> None:
    with pytest.raises(EditError, match="the network does not parse, so its classes cannot be replaced"):
        merge_classes("class Network(:\n", "class Stem:\n    pass\n")
