"""The places of a network where a module that keeps the shape can be added, described in words and with map shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.insertions import add_after_stage, run_after
from agents.builtin.replacements import spatial_convolutions
from agents.builtin.source_editor import SourceEditor
from agents.builtin.torch_layers import layer_arguments
from fairnad.records.candidate import CheckReport

MapShape = tuple[int, int, int]
"""(channels, height, width) of a feature map."""
Build = Callable[[str], str]
"""Returns the expression that builds a module of a width, itself an expression."""

_MAX_BLOCKS = 2
"""Only the first classes of blocks are offered, to keep the list short."""


@dataclass(frozen=True)
class Spot:
    """A place for a module: its description, and the shapes of the maps there as far as known.

    ``put`` adds a module there, given the editor, the wanted name of the attribute, and what builds the module.
    """

    words: str
    shapes: tuple[MapShape, ...]
    put: Callable[[SourceEditor, str, Build], None]


def module_spots(editor: SourceEditor) -> list[Spot]:
    """All spots of a network, spots inside blocks first; empty if the network cannot be analysed."""
    reading, report = editor.reading, editor.report
    spots = [spot for name in islice(reading.blocks, _MAX_BLOCKS) for spot in _in_block(editor.read(name), report)]
    others = {stage.name for stage in reading.stages} | ({reading.head[0]} if reading.head else set())
    if reading.stem and reading.stem_width and reading.stem not in others and reading.call_of(reading.stem):
        spots.append(Spot(f"behind the stem `self.{reading.stem}`", _maps(report, member=reading.stem), _after_stem))
    for i, stage in enumerate(reading.open_stages, start=1):
        is_last = i == len(reading.open_stages)
        words = f"behind `self.{stage.name}`" + (", the last stage, before the classifier" if is_last else "")
        spots.append(Spot(words, _maps(report, member=stage.name), partial(_after_stage, stage.name)))
    return spots


def _in_block(reading: ClassReading, report: CheckReport | None) -> Iterator[Spot]:
    if reading.init is None or reading.tail is None:
        return
    shapes = _maps(report, kind=reading.name)
    if reading.width_of(reading.tail):
        where = "at the end of its branch, before the shortcut is added" if reading.sum else "at its end"
        yield Spot(f"in every `{reading.name}`, {where}", shapes, partial(_at_tail, reading.name))
    for member, values in reading.members.items():
        calls = [call for call in spatial_convolutions(reading) if any(call is value for value in values)]
        if len(calls) == 1 and (width := _kept_width(calls[0])) and reading.is_fixed(width):
            words = f"in every `{reading.name}`, in the place of the convolution `self.{member}`"
            yield Spot(words, shapes, partial(_replace_convolution, reading.name, member))


def _kept_width(call: cst.Call) -> str:
    """The width of a convolution that keeps the shape; ``""`` for any other."""
    given = layer_arguments(call, "Conv2d")
    before, after = (syntax.code(given[name]) for name in ("in_channels", "out_channels"))
    keeps = "stride" not in given or syntax.integer(given["stride"]) == 1
    return after if keeps and before == after and "padding" in given else ""


def _at_tail(owner: str, editor: SourceEditor, attribute: str, build: Build) -> None:
    reading = editor.read(owner)
    assert reading.tail is not None, "the spot was found there"
    member = editor.free_attribute(owner, attribute)
    editor.extend_init(owner, f"self.{member} = {build(reading.width_of(reading.tail))}")
    editor.wrap(reading.tail, f"self.{member}({{}})")


def _replace_convolution(owner: str, member: str, editor: SourceEditor, attribute: str, build: Build) -> None:
    reading = editor.read(owner)
    (call,) = [found for found in spatial_convolutions(reading) if found in reading.members[member]]
    editor.replace({call: syntax.expression(build(_kept_width(call)))})


def _after_stem(editor: SourceEditor, attribute: str, build: Build) -> None:
    width, call = editor.reading.stem_width, editor.reading.call_of(editor.reading.stem)
    assert call is not None, "the spot was found there"
    member = editor.free_attribute("Network", attribute)
    run_after(editor, call, member)
    editor.extend_init("Network", f"self.{member} = {build(width)}")


def _after_stage(name: str, editor: SourceEditor, attribute: str, build: Build) -> None:
    (stage,) = [stage for stage in editor.reading.open_stages if stage.name == name]
    add_after_stage(editor, stage, attribute, build(stage.width))


def _maps(report: CheckReport | None, *, kind: str = "", member: str = "") -> tuple[MapShape, ...]:
    """The distinct maps that the modules of a class, or a member, return, in the order of execution."""
    executed = report.blocks if report else ()
    found = [shape for cls, name, shape in executed if (cls if kind else name) == (kind or member)]
    return tuple(dict.fromkeys((shape[1], shape[2], shape[3]) for shape in found if len(shape) == 4))
