"""Where in a network a module can be put that keeps the shape of its maps: a short list, in words and with shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import libcst as cst

from agents.builtin import syntax
from agents.builtin.class_reading import ClassReading
from agents.builtin.insertions import open_stages, run_behind, spatial_convolutions
from agents.builtin.source_editor import Draft
from agents.builtin.torch_layers import CONVOLUTION
from fairnad.records.candidate import CheckReport

MapShape = tuple[int, int, int]
"""(channels, height, width) of a feature map."""
Build = Callable[[str], str]
"""The expression that builds a module of a width, which is an expression too."""

_MOST_BLOCKS = 2
"""More classes of blocks than these make no short list."""


@dataclass(frozen=True)
class Spot:
    """A place a module can be put: ``words`` name it, ``shapes`` are those of the maps there, as far as known.

    ``put`` puts a module there: it is given the draft, the name of the attribute, and what builds the module.
    """

    words: str
    shapes: tuple[MapShape, ...]
    put: Callable[[Draft, str, Build], None]


def module_spots(draft: Draft) -> list[Spot]:
    """Every spot of a network, those inside its blocks first; empty where it is put together in an unknown way."""
    report = draft.report
    spots: list[Spot] = []
    for name in islice(draft.reading.blocks, _MOST_BLOCKS):
        shapes = _shapes_of_class(report, name)
        spots += _in_block(draft.read(name), shapes)
    spots += _behind_stem(draft)
    stages = open_stages(draft)
    for stage in stages:
        is_last = stage is stages[-1]
        words = f"behind `self.{stage.name}`" + (", the last stage, before the classifier" if is_last else "")
        spots.append(Spot(words, _shapes_of_member(report, stage.name), _behind_stage(stage.name)))
    return spots


def _in_block(reading: ClassReading, shapes: tuple[MapShape, ...]) -> list[Spot]:
    if reading.init is None or reading.tail is None:
        return []
    spots = []
    if reading.width_of(reading.tail):
        where = "at the end of its branch, before the shortcut is added" if reading.sum else "at its end"
        spots.append(Spot(f"in every `{reading.name}`, {where}", shapes, _at_tail(reading.name)))
    for member, values in reading.members.items():
        calls = [call for call in spatial_convolutions(reading) if any(call is value for value in values)]
        if len(calls) == 1 and (width := _kept_width(calls[0])) and reading.is_fixed(width):
            words = f"in every `{reading.name}`, in the place of the convolution `self.{member}`"
            spots.append(Spot(words, shapes, _instead_of(reading.name, member)))
    return spots


def _kept_width(call: cst.Call) -> str:
    """The width of a convolution that keeps its input's shape, ``""`` for any other."""
    bound = syntax.arguments(call, CONVOLUTION)
    before, after = (syntax.code(bound[name].value) for name in ("in_channels", "out_channels"))
    keeps = "stride" not in bound or syntax.integer(bound["stride"].value) == 1
    return after if keeps and before == after and "padding" in bound else ""


def _at_tail(owner: str) -> Callable[[Draft, str, Build], None]:
    def put(draft: Draft, attribute: str, build: Build) -> None:
        reading = draft.read(owner)
        tail = reading.tail
        assert tail is not None, "a spot is put where it was found"
        member = draft.free_attribute(owner, attribute)
        draft.extend_init(owner, f"self.{member} = {build(reading.width_of(tail))}")
        draft.wrap(tail, f"self.{member}({{}})")

    return put


def _instead_of(owner: str, member: str) -> Callable[[Draft, str, Build], None]:
    def put(draft: Draft, attribute: str, build: Build) -> None:
        reading = draft.read(owner)
        (call,) = [found for found in spatial_convolutions(reading) if found in reading.members[member]]
        draft.replace({call: syntax.expression(build(_kept_width(call)))})

    return put


def _behind_stem(draft: Draft) -> list[Spot]:
    stem, network = draft.reading.stem, draft.reading.network
    width = next(filter(None, map(network.built_width, network.members.get(stem, ()))), "")
    head = draft.reading.head
    others = {stage.name for stage in draft.reading.stages} | ({head[0]} if head else set())
    if not stem or not width or stem in others or draft.reading.call_of(stem) is None:
        return []

    def put(draft: Draft, attribute: str, build: Build) -> None:
        call = draft.reading.call_of(stem)
        assert call is not None, "a spot is put where it was found"
        member = draft.free_attribute("Network", attribute)
        run_behind(draft, call, member)
        draft.extend_init("Network", f"self.{member} = {build(width)}")

    return [Spot(f"behind the stem `self.{stem}`", _shapes_of_member(draft.report, stem), put)]


def _behind_stage(name: str) -> Callable[[Draft, str, Build], None]:
    def put(draft: Draft, attribute: str, build: Build) -> None:
        (stage,) = [stage for stage in open_stages(draft) if stage.name == name]
        call = draft.reading.call_of(name)
        assert call is not None, "an open stage is called by name"
        member = draft.free_attribute("Network", attribute)
        run_behind(draft, call, member)
        draft.extend_init("Network", f"self.{member} = {build(stage.width)}", after=stage.statement)

    return put


def _shapes_of_class(report: CheckReport | None, name: str) -> tuple[MapShape, ...]:
    return _maps(report, lambda kind, member: kind == name)


def _shapes_of_member(report: CheckReport | None, name: str) -> tuple[MapShape, ...]:
    return _maps(report, lambda kind, member: member == name)


def _maps(report: CheckReport | None, is_there: Callable[[str, str], bool]) -> tuple[MapShape, ...]:
    """The distinct maps some module calls return, in the order of execution."""
    executed = report.blocks if report else ()
    found = [shape for kind, member, shape in executed if is_there(kind, member) and len(shape) == 4]
    return tuple(dict.fromkeys((shape[1], shape[2], shape[3]) for shape in found))
