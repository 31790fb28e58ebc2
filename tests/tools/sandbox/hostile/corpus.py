"""What every hostile or broken source has in common: its text, what it should end as, and what it must not touch."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from fairnad.records.candidate import FailureKind

P, R, T = FailureKind.POLICY, FailureKind.RUNTIME, FailureKind.TIMEOUT
M, C, S = FailureKind.MEMORY, FailureKind.CRASH, FailureKind.SYNTAX
I = FailureKind.INTERFACE  # noqa: E741 (read beside the others)

HARM = "HARM"
"""What a source says when it got through; it must never be heard."""


@dataclass(frozen=True)
class Hostile:
    """One source.

    ``held`` is the verdict under the policy. ``free`` are the verdicts it may end with where the policy is off and the
    jail alone holds it, ``None`` among them for one that runs and has gained nothing; empty: it passes the policy, and
    is run once.
    """

    name: str
    source: str
    held: FailureKind | None
    free: tuple[FailureKind | None, ...] = ()


def network(*, top: str = "", init: str = "", forward: str = "", methods: str = "") -> str:
    """A small network with something at the top, in ``__init__``, in ``forward`` or among its methods."""
    return f"""import torch
import torch.nn as nn
import torch.nn.functional as F

{textwrap.dedent(top)}

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, num_classes)
{textwrap.indent(textwrap.dedent(init), " " * 8)}

    def forward(self, x):
{textwrap.indent(textwrap.dedent(forward), " " * 8)}
        return self.head(self.conv(x).mean((2, 3)))

{textwrap.indent(textwrap.dedent(methods), " " * 4)}
"""


def attack(name: str, code: str, free: tuple[FailureKind | None, ...] = (R,)) -> Hostile:
    """Runs ``code`` as the network is built; reaching its end says that it got through."""
    body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
    top = f"def attack():\n{body}\n    raise SystemError('{HARM} ' + {name!r})\n"
    return Hostile(name, network(top=top, init="attack()"), P, free)
