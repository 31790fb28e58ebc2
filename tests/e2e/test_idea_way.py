"""How far an idea travels between the function that draws it and its record: few functions, few files."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import CodeType, FrameType

from fairnad.ideas.idea import Idea
from graphs.cli.search_command import main

PACKAGES = ("graphs", "fairnad")


def carries(value: object, idea: str, depth: int = 2) -> bool:
    """Whether a value is the idea, or holds it in a field."""
    if isinstance(value, Idea):
        return value.text == idea
    fields = getattr(type(value), "__dataclass_fields__", {}) if depth else {}
    return any(carries(getattr(value, name, None), idea, depth - 1) for name in fields)


def test_an_idea_passes_few_functions_from_its_draw_to_its_record(flags, history):
    root = Path.cwd()
    calls: list[tuple[CodeType, list[object]]] = []

    def watch(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(tuple(f"{root}/{name}/" for name in PACKAGES)):
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            calls.append((code, [frame.f_locals.get(name) for name in names]))

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        assert main(flags(**{"agents.mode": "best"})) == 0
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    (record,) = history().drawn
    passed: dict[CodeType, None] = {}
    begin = next(number for number, (code, _) in enumerate(calls) if code.co_name == "draw_idea")
    for code, arguments in calls[begin:]:
        if any(carries(value, record.idea.text) for value in arguments):
            passed[code] = None
            if code.co_name == "add_record":
                break
    names = [f"{Path(code.co_filename).relative_to(root)}: {code.co_qualname}" for code in passed]
    assert len(names) <= 25, names
    assert len({code.co_filename for code in passed}) <= 8, names
    assert names[-1].endswith("RunServices.add_record")
