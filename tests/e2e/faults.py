"""A scripted language model that is wrong in every way there is, three times in ten."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

from tests.e2e.networks import BROKEN, NO_NETWORK, SINGLE_LAYER, network
from tests.e2e.scripts import APPROVED, fenced, role_of
from tests.openai_server import Reply, Request, prompt_of

SHARE = 0.3
_SHARE_OF_REPAIRS = 0.7

_ACTIVATIONS = ("ReLU", "GELU", "SiLU", "Hardswish", "ELU", "Tanh", "Mish", "Softplus", "LeakyReLU", "CELU", "SELU")
_FORWARD = "        return self.head("


def _in_forward(statement: str, when: str = "self.training") -> str:
    """A network that misbehaves in its forward pass."""
    return network().replace(_FORWARD, f"        if {when}:\n            {statement}\n{_FORWARD}")


def _late(statement: str) -> str:
    """One that passes its check and misbehaves in its training."""
    source = _in_forward(statement, when="self.num_steps > 4")
    source = source.replace("        self.stem =", "        self.num_steps = 0\n        self.stem =")
    return source.replace(
        "    def forward(self, x):\n        if", "    def forward(self, x):\n        self.num_steps += 1\n        if"
    )


SOURCES = {
    "no network": NO_NETWORK,
    "syntax": network().replace("class Network(", "class Network("[:-1] + "[("),
    "import": "import no_such_module\n" + network(),
    "shape": BROKEN,
    "runtime": _in_forward("1 / 0"),
    "memory": _in_forward("torch.ones(10 ** 12)"),
    "loop": _in_forward("while True: pass"),
    "exit": _in_forward("import os; os._exit(0)"),
    "crash": _in_forward("import ctypes; ctypes.string_at(0)"),
    "output": _in_forward("while True: print('spam')"),
    "exception": _in_forward("raise BaseException('x' * 10 ** 6)"),
    "forgery": _in_forward("import os; open('report.json', 'w').write('{}'); os._exit(0)"),
    "over budget": network(width=30),
    "single layer": SINGLE_LAYER,
    "unchanged": "# the same again\n" + network(),
    "diverged": _late("x = x * float('inf')"),
    "late runtime": _late("1 / 0"),
    "late loop": _late("while True: pass"),
    "late memory": _late("torch.ones(10 ** 12)"),
    "late exit": _late("import os; os._exit(3)"),
}
"""Sources with a fault each, by what it is."""

REPLIES = {
    "refusal": Reply("I would rather not."),
    "cut": Reply(fenced(network())[:200], finish="length"),
    "empty": Reply(""),
    "surrogates": Reply(fenced("\ud800" + network())),
}
"""Replies with a fault each."""


class FaultyModel:
    """Three replies in ten hold a fault, and most repairs do; every kind is as likely.

    A reply depends on the prompt and on how often that prompt was sent before.
    """

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def __call__(self, request: Request) -> Reply:
        role, prompt = role_of(request), prompt_of(request)
        self._asked[prompt] += 1
        generator = random.Random(hashlib.sha256(f"{self._asked[prompt]} {prompt}".encode()).digest())
        if role == "judge":
            return Reply(APPROVED)
        if generator.random() < (SHARE if role in ("mutate", "refine") else _SHARE_OF_REPAIRS):
            kind = generator.choice(sorted(SOURCES | REPLIES))
            return REPLIES.get(kind) or _worded(SOURCES[kind])
        return _worded(
            network(
                width=generator.randint(4, 9),
                repeats=generator.randint(2, 4),
                kernel_size=generator.choice([1, 3]),
                activation=generator.choice(_ACTIVATIONS),
                num_added=generator.randint(0, 3),
            )
        )


def _worded(source: str) -> Reply:
    return Reply(
        f"Analysis: it helped.\nCategory: performance / operation / activation\nIdea: Go on.\n{fenced(source)}"
    )
