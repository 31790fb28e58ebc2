"""A new module repaired without a model call: known repairs, and an adapter that restores the shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from math import gcd

from agents.builtin.debugger import apply_repairs
from agents.builtin.new_module import ModuleError, NewModule, read_module
from fairnad.ports import Check
from fairnad.records.candidate import Failure

Alone = Callable[[NewModule], str]

_MAX_REPAIRS = 3
_CHANGED_SHAPE = re.compile(r"the module was given \(([\d, ]+)\) and returned \(([\d, ]+)\)")

_ADAPTER = '''
class {name}(nn.Module):
    """Restores the shape of the input."""

    def __init__(self, channels):
        super().__init__()
        self.inner = {built}
        self.project = {project}

    def forward(self, x):
        return self.project({returned})
'''


async def fit_module(
    module: NewModule, alone: Alone, check: Check, taken: Collection[str]
) -> tuple[NewModule, str] | Failure:
    """(module, note) after known repairs, so that it runs and keeps the shape; the first failure if that fails.

    A module that changes the number of channels or the size of the map gets an adapter: a pointwise convolution and
    nearest-neighbour interpolation. Repairs that change the computation are also used.

    Args:
        alone: makes a network of the module alone.
        taken: the names that the network's source defines.
    """
    source = alone(module)
    first = found = await check(source)
    notes: list[str] = []
    for _ in range(_MAX_REPAIRS):
        if not isinstance(found, Failure):
            break
        repaired = _adapt(module, found) or _repair(source, found, taken)
        if repaired is None:
            break
        module, note = repaired
        notes.append(note)
        source = alone(module)
        found = await check(source)
    if isinstance(found, Failure):
        assert isinstance(first, Failure), "a module that ran needed no repair"
        return first
    return module, "; ".join(notes)


def _repair(source: str, failure: Failure, taken: Collection[str]) -> tuple[NewModule, str] | None:
    repaired = apply_repairs(source, failure, "")
    if isinstance(repaired, Failure):
        return None
    try:
        return read_module(repaired[0], taken), repaired[1]
    except ModuleError:
        return None


def _adapt(module: NewModule, failure: Failure) -> tuple[NewModule, str] | None:
    match = _CHANGED_SHAPE.search(failure.message)
    given, returned = (tuple(int(n) for n in match[i].split(",") if n.strip()) for i in (1, 2)) if match else ((), ())
    if len(given) != 4 or len(returned) != 4 or given[0] != returned[0] or module.num_widths != 1:
        return None
    notes, project, result = [], "nn.Identity()", "self.inner(x)"
    if given[1] != returned[1]:
        project = f"nn.Conv2d({_width(given[1], returned[1])}, channels, 1)"
        notes.append("projected to the input's channels")
    if given[2:] != returned[2:]:
        result = f"F.interpolate({result}, size=x.shape[2:])"
        notes.append("resized to the input's map")
    adapter = _ADAPTER.format(
        name=f"Fitted{module.name}", built=module.build("channels"), project=project, returned=result
    )
    return read_module(f"{module.text}\n\n{adapter}", ()), " and ".join(notes)


def _width(given: int, returned: int) -> str:
    """The number of channels as a multiple or a fraction of the given ones."""
    common = gcd(given, returned)
    times, share = returned // common, given // common
    text = "channels" if times == 1 else f"{times} * channels"
    return text if share == 1 else f"{text} // {share}"
