"""The built-in downscaler: shrinks literals by bisection, or uses an added module once (paper F.2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import libcst as cst

from agents.builtin import syntax
from agents.builtin.scaling import Size, Sizing, shrinking_sizes
from agents.builtin.source_editor import SourceEditor, UnreadableSourceError, free_name, snake_case
from agents.builtin.torch_layers import SizeUse
from fairnad.domain.budget import Budget, within
from fairnad.ports import Check, DownscaleRequest, Proposal
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step

_OTHER_WAY = {
    "shrink-depth-middle": "shrink-width-proportional",
    "shrink-depth-end": "shrink-width-proportional",
    "shrink-width-proportional": "shrink-depth-middle",
    "shrink-width-unevenly": "shrink-depth-end",
}
"""The ways of shrinking, each with the way to try next."""


class BuiltinDownscaler:
    """Finds the largest network within its budgets along one way of shrinking.

    Args:
        check: measures a source; called five to nine times per request.
        budgets: the limits.
        actions: the way of shrinking for each shrinking idea, by its text.
    """

    def __init__(self, check: Check, budgets: Sequence[Budget], actions: Mapping[str, str]) -> None:
        self._check = check
        self._budgets = budgets
        self._actions = actions

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """A source within every limit; otherwise the smallest source of the first way.

        If a single use is requested, the added module moves to the end of the parent's backbone; if that is
        impossible, the network is shrunk. Depth that cannot shrink further is followed by width, and width by depth;
        then the other way is tried. Fails as *not applicable* if the network has no literals to shrink.
        """
        generator = request.context.generator
        source = request.oversized.source
        if request.single_use and (once := use_once(source, request.parent.source)) is not None:
            return Proposal(once[0], prompt=request.prompt, note=once[1])
        try:
            sizing = Sizing(SourceEditor(source))
        except UnreadableSourceError as error:
            return Failure(Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, f"the source cannot be read: {error}")
        way = self._actions.get(request.shrinking, "")
        way = way if way in _OTHER_WAY else list(_OTHER_WAY)[int(generator.integers(len(_OTHER_WAY)))]
        legs = [
            (tried, sizes)
            for tried in (way, _OTHER_WAY[way])
            for sizes in shrinking_sizes(sizing, tried.removeprefix("shrink-"), generator)
        ]
        if not legs:
            message = "the network has no repeats or widths that could be smaller"
            return Failure(Step.DOWNSCALE, FailureKind.NOT_APPLICABLE, message)
        found, size = await self._along(legs, source)
        smaller, note = _resize(source, size)
        return Proposal(smaller, prompt=request.prompt, note=f"{found}: {note}")

    async def _along(self, legs: Sequence[tuple[str, Sequence[Size]]], source: str) -> tuple[str, Size]:
        """The first leg that ends within all limits, with its largest such size; else the end of the first leg."""
        for way, sizes in legs:
            if await self._fits(_resize(source, sizes[-1])[0]):
                return way, await self._largest_within(source, sizes)
        first = legs[0][0]
        return first, [sizes[-1] for way, sizes in legs if way == first][-1]

    async def _largest_within(self, source: str, sizes: Sequence[Size]) -> Size:
        """The first of decreasing sizes within all limits, by bisection; the last one is within."""
        first, last = 0, len(sizes) - 1
        while first < last:
            middle = (first + last) // 2
            if await self._fits(_resize(source, sizes[middle])[0]):
                last = middle
            else:
                first = middle + 1
        return sizes[first]

    async def _fits(self, source: str) -> bool:
        """Whether a source runs and is within all limits."""
        report = await self._check(source)
        return isinstance(report, CheckReport) and within(report.costs, self._budgets)


def _resize(source: str, size: Size) -> tuple[str, str]:
    """(source, note) of another size."""
    editor = SourceEditor(source)
    note = Sizing(editor).apply(size)
    return editor.source, note


def use_once(source: str, parent: str) -> tuple[str, str] | None:
    """(source, note): the parent with the module that ``source`` adds, once, after its last feature map.

    ``None`` if ``source`` adds no class that can be built from a width alone.
    """
    try:
        changed, editor = SourceEditor(source), SourceEditor(parent)
    except UnreadableSourceError:
        return None
    old, classes = editor.reading.sizes.classes, changed.reading.sizes.classes
    added = {name: node for name, node in classes.items() if name not in old}
    end, width = editor.reading.backbone_end, editor.reading.end_width
    if end is None or not width:
        return None
    used = {inner for node in added.values() for inner in _uses(node, added)}
    for name in sorted(added, key=lambda name: name in used):  # first those that no other added class uses
        arguments = _arguments(changed, name, width)
        if arguments is None:
            continue
        member = free_name(snake_case(name), editor.read("Network").attributes)
        editor.wrap(end, f"self.{member}({{}})")
        editor.extend_init("Network", f"self.{member} = {name}({arguments})")
        needed = _find_needed(name, added)
        for other in (other for other in added if other in needed):
            editor.add_class(syntax.code(added[other]).strip(), other)
        return editor.source, f"{name} used once, at the end of the backbone"
    return None


def _uses(node: cst.ClassDef, added: Mapping[str, cst.ClassDef]) -> set[str]:
    names = {inner.value for inner in syntax.walk(node) if isinstance(inner, cst.Name)}
    return (names & added.keys()) - {node.name.value}


def _find_needed(name: str, added: Mapping[str, cst.ClassDef]) -> set[str]:
    """``name`` and every added class it uses, directly or indirectly."""
    needed, waiting = {name}, [name]
    while waiting:
        new = _uses(added[waiting.pop()], added) - needed
        needed |= new
        waiting.extend(new)
    return needed


def _arguments(editor: SourceEditor, name: str, width: str) -> str | None:
    """Arguments for which a module keeps ``width``; ``None`` if it needs others."""
    reading = editor.read(name)
    if reading.init is None or reading.forward is None or len(syntax.parameter_names(reading.forward)) != 1:
        return None
    known = {SizeUse.WIDTH: width, SizeUse.STRIDE: "1", SizeUse.KERNEL: "3"}
    passed = []
    for parameter in syntax.parameters(reading.init):
        use, is_padding = reading.signature.uses.get(parameter.name.value), parameter.name.value == "padding"
        if is_padding or use is SizeUse.WIDTH or parameter.default is None:
            if use not in known and not is_padding:
                return None
            passed.append(f"{parameter.name.value}={'1' if is_padding or use is None else known[use]}")
    return ", ".join(passed)
