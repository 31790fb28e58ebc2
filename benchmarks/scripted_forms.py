"""The reply of a scripted model: a whole file, edits of the shown file, or only a module."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from prompts.loader import load_pack
from tests.openai_server import Request

_PLAN = {
    "mutate": "The plan: one class is touched, the shapes stay as they are.\n\n",
    "refine": "Analysis: it helped.\nCategory: performance / operation / activation\nIdea: Go on.\n\n",
}
_RETURN = re.compile(r"^        return (.*)\n\Z", re.MULTILINE)
_LAYERS_START = "        super().__init__()\n"
_SAME = """
class Passage(nn.Module):
    def __init__(self, channels):
        super().__init__()

    def forward(self, x):
        return x
"""

MODULES: tuple[str, ...] = tuple(
    entry.source
    for entry in load_pack("vision").library.transformations
    if "def __init__(self, channels):" in entry.source
    and "def forward(self, x):" in entry.source
    and entry.change != "downsample-with"
    and _RETURN.search(entry.source)
)
"""Modules of the built-in designer that keep the shape of a map."""


def form_of(request: Request) -> str:
    """The edit format of a request, by its rules: full, edit or module."""
    system = request["messages"][0]["content"]
    if "class NewModule(nn.Module):" in system:
        return "module"
    return "edit" if "<<<<<<< OLD" in system else "full"


def write_file(form: str, role: str, before: str, after: str) -> str:
    """A reply that replaces one file by another."""
    body = f"```python\n{after}```\n" if form == "full" else "\n".join(_edits(before, after))
    return _PLAN.get(role, "") + body


def _edits(before: str, after: str) -> Iterator[str]:
    """Blocks of whole lines, each with enough context to be unique in the file."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    for first, last, new_first, new_last in _hunks(old, new):
        yield (f"<<<<<<< OLD\n{''.join(old[first:last])}=======\n{''.join(new[new_first:new_last])}>>>>>>> NEW\n")


def _hunks(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Ranges of changed lines, widened until the old lines are unique; adjacent ranges are merged."""
    hunks: list[tuple[int, int, int, int]] = []
    for tag, first, last, new_first, new_last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        above = below = 0
        while "".join(old).count("".join(old[first - above : last + below])) != 1 or first - above == last + below:
            if first - above > 0:
                above += 1
            elif last + below < len(old):
                below += 1
            else:
                break
        hunk = (first - above, last + below, new_first - above, new_last + below)
        if hunks and hunk[0] <= hunks[-1][1]:
            hunks[-1] = (hunks[-1][0], max(hunk[1], hunks[-1][1]), hunks[-1][2], max(hunk[3], hunks[-1][3]))
        else:
            hunks.append(hunk)
    return hunks


def write_module(request: Request, fault: str, generator: random.Random) -> str:
    """A reply with a module and its place."""
    places = re.findall(r"^\d+\. ", request["messages"][1]["content"], re.MULTILINE)
    code = generator.choice(MODULES)
    code = _SAME if fault == "unchanged" else _SPOILED[fault](code) if fault else code
    return f"Place: {generator.randint(1, max(len(places), 1))}\n\n```python\n{code.strip()}\n```\n"


def _without_such_a_layer(code: str) -> str:
    return code.replace(_LAYERS_START, f"{_LAYERS_START}        self.extra = nn.GatedMixer2d(channels)\n", 1)


def _of_the_wrong_shape(code: str) -> str:
    return _RETURN.sub(r"        return (\1)[:, 1:]\n", code)


def _far_too_wide(code: str) -> str:
    layers = "        self.lift = nn.Conv2d(channels, 2048, 1)\n        self.lower = nn.Conv2d(2048, channels, 1)\n"
    code = code.replace(_LAYERS_START, _LAYERS_START + layers, 1)
    return _RETURN.sub(r"        return self.lower(self.lift(\1))\n", code)


_SPOILED: Mapping[str, Callable[[str], str]] = {
    "hallucinated": _without_such_a_layer,
    "shape": _of_the_wrong_shape,
    "oversized": _far_too_wide,
}
