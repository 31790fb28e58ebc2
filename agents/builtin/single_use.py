"""An added module used once, at the end of the parent's backbone, instead of throughout (paper F.2.5)."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
import numpy as np

from agents.builtin import syntax
from agents.builtin.source_editor import Draft, UnreadableSourceError, free_name, snake_case
from agents.builtin.torch_layers import Role


@dataclass(frozen=True)
class SingleUse:
    """The source, and in a line what was done."""

    source: str
    note: str


def use_once(source: str, parent: str, generator: np.random.Generator) -> SingleUse | None:
    """The parent with the module that ``source`` adds to it used once behind its last feature map.

    ``None`` where ``source`` adds no class, or none that can be built from a width alone.
    """
    try:
        changed, draft = Draft(source, generator), Draft(parent, generator)
    except UnreadableSourceError:
        return None
    added = [name for name in changed.reading.roles.classes if name not in draft.reading.roles.classes]
    end, width = draft.reading.backbone_end, draft.reading.end_width
    for name in _outermost(changed, added):
        arguments = _arguments(changed, name, width)
        if arguments is None or end is None or not width:
            continue
        member = free_name(snake_case(name), draft.read("Network").attributes)
        draft.wrap(end, f"self.{member}({{}})")
        draft.extend_init("Network", f"self.{member} = {name}({arguments})")
        for needed in _needed(changed, name, added):
            draft.add_class(syntax.code(changed.reading.roles.classes[needed]).strip(), needed)
        return SingleUse(draft.source, f"{name} used once, at the end of the backbone")
    return None


def _outermost(draft: Draft, added: list[str]) -> list[str]:
    """The added classes, those first that no other added one uses."""
    used = {inner for name in added for inner in _uses(draft, name, added)}
    return [name for name in added if name not in used] + [name for name in added if name in used]


def _uses(draft: Draft, name: str, added: list[str]) -> set[str]:
    nodes = syntax.walk(draft.reading.roles.classes[name])
    return {node.value for node in nodes if isinstance(node, cst.Name) and node.value in added} - {name}


def _needed(draft: Draft, name: str, added: list[str]) -> list[str]:
    """``name`` and every added class it uses, in the order of the source."""
    needed, open_names = {name}, [name]
    while open_names:
        new = _uses(draft, open_names.pop(), added) - needed
        needed |= new
        open_names.extend(new)
    return [candidate for candidate in added if candidate in needed]


def _arguments(draft: Draft, name: str, width: str) -> str | None:
    """Arguments that make a module keep ``width``; ``None`` where it asks for something else."""
    reading = draft.read(name)
    if reading.init is None or reading.forward is None or len(syntax.parameter_names(reading.forward)) != 1:
        return None
    known = {Role.WIDTH: width, Role.STRIDE: "1", Role.KERNEL: "3"}
    passed = []
    for parameter in syntax.parameters(reading.init):
        role = reading.signature.roles.get(parameter.name.value)
        is_padding = parameter.name.value == "padding"
        if is_padding or role is Role.WIDTH or parameter.default is None:
            if role not in known and not is_padding:
                return None
            passed.append(f"{parameter.name.value}={'1' if is_padding or role is None else known[role]}")
    return ", ".join(passed)
