"""What a module lacks that is to be placed, mended without a call: known repairs, and an adapter to its contract.

Also repairs that make another module of it are made, as the built-in debugger's are: what cannot be placed is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from math import gcd

import numpy as np

from agents.builtin.debugger import mend
from agents.builtin.new_module import ModuleError, NewModule, read_module
from agents.builtin.repairs import REPAIRS
from fairnad.ports import Check
from fairnad.records.candidate import Failure

Alone = Callable[[NewModule], str]
"""A network of nothing but a module."""

_MOST_REPAIRS = 3

_CHANGED_SHAPE = re.compile(r"the module was given \(([\d, ]+)\) and returned \(([\d, ]+)\)")

_ADAPTER = '''
class {name}(nn.Module):
    """Brings what a module returns to the shape it was given."""

    def __init__(self, channels):
        super().__init__()
        self.inner = {built}
        self.project = {project}

    def forward(self, x):
        return self.project({returned})
'''


async def fitted(
    module: NewModule, alone: Alone, check: Check, taken: Collection[str]
) -> tuple[NewModule, str] | Failure:
    """The module as it keeps its contract, and what was done to it; the first failure where it cannot be made to.

    A module that returns another number of channels, or a map of another size, gets an adapter behind it: a pointwise
    convolution, and the nearest value of each position.

    Args:
        taken: the names the network's source defines.
    """
    source = alone(module)
    first = found = await check(source)
    notes: list[str] = []
    for _ in range(_MOST_REPAIRS):
        if not isinstance(found, Failure):
            break
        mended = _adapted(module, found) or _repaired(source, found, taken)
        if mended is None:
            break
        module, note = mended
        notes.append(note)
        source = alone(module)
        found = await check(source)
    if isinstance(found, Failure):
        assert isinstance(first, Failure), "what ran needed no repair"
        return first
    return module, "; ".join(notes)


def _repaired(source: str, failure: Failure, taken: Collection[str]) -> tuple[NewModule, str] | None:
    mended = mend(source, failure, "", np.random.default_rng(0), REPAIRS)
    if isinstance(mended, Failure):
        return None
    try:
        return read_module(mended[0], taken), mended[1]
    except ModuleError:
        return None


def _adapted(module: NewModule, failure: Failure) -> tuple[NewModule, str] | None:
    match = _CHANGED_SHAPE.search(failure.message)
    given, returned = (tuple(int(n) for n in match[i].split(",") if n.strip()) for i in (1, 2)) if match else ((), ())
    if len(given) != 4 or len(returned) != 4 or given[0] != returned[0] or module.num_widths != 1:
        return None
    notes, project, result = [], "nn.Identity()", "self.inner(x)"
    if given[1] != returned[1]:
        project = f"nn.Conv2d({_width(given[1], returned[1])}, channels, 1)"
        notes.append("projected to its channels")
    if given[2:] != returned[2:]:
        result = f"F.interpolate({result}, size=x.shape[2:])"
        notes.append("brought to the size of its map")
    adapter = _ADAPTER.format(
        name=f"Fitted{module.name}", built=module.built("channels"), project=project, returned=result
    )
    return read_module(f"{module.text}\n\n{adapter}", ()), " and ".join(notes)


def _width(given: int, returned: int) -> str:
    """So many channels in terms of those that are given: a multiple or a fraction of them."""
    common = gcd(given, returned)
    times, share = returned // common, given // common
    text = "channels" if times == 1 else f"{times} * channels"
    return text if share == 1 else f"{text} // {share}"
