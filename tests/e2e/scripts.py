"""Scripted language models: one that follows a list, one whose replies are a function of the prompt."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from tests.e2e.networks import BROKEN, SINGLE_LAYER, network
from tests.openai_server import Reply, Request, prompt_of

APPROVED = "changed: yes\nmulti-layer: yes\n##response## yes"
ROLES = {
    "mutate": "You are given a network as one Python file, and a request.",
    "module": "You write one new module after an idea.",
    "debug": "You are an expert at repairing PyTorch networks.",
    "downscale": "You are an expert at making PyTorch networks cheaper.",
    "judge": "You judge whether a network is a new architecture.",
    "refine": "was changed by an idea, and",
}


def role_of(request: Request) -> str:
    """Which role a request was sent by."""
    system = request["messages"][0]["content"]
    (role,) = [role for role, sign in ROLES.items() if sign in system]
    return "mutate" if role == "module" else role


def fenced(source: str) -> str:
    """A reply that holds a source."""
    return f"The plan: as asked.\n\n```python\n{source}```\n"


class Script:
    """Replies by role, one after the other; the last of a role is repeated. Judges approve unless told otherwise."""

    def __init__(self, **replies: Sequence[str]) -> None:
        self._replies = {role: [Reply(text) for text in texts] for role, texts in replies.items()}
        self.asked: list[str] = []
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        role = role_of(request)
        self.asked.append(role)
        self.requests.append(request)
        left = self._replies.get(role, [Reply(APPROVED)])
        return left.pop(0) if len(left) > 1 else left[0]


def lively(request: Request) -> Reply:
    """A model with every fault, whose reply depends on the prompt alone."""
    role = role_of(request)
    generator = random.Random(hashlib.sha256(prompt_of(request).encode()).digest())
    if role == "judge":
        return Reply(APPROVED)
    good = network(
        width=generator.randint(4, 9),
        repeats=generator.randint(2, 3),
        kernel_size=generator.choice([1, 3]),
        activation=generator.choice(["ReLU", "GELU", "SiLU", "Hardswish", "ELU", "Tanh"]),
    )
    if role == "refine":
        return Reply(
            f"Analysis: it helped.\nCategory: performance / operation / activation\nIdea: Go on.\n{fenced(good)}"
        )
    if role == "mutate":
        faults = [BROKEN, SINGLE_LAYER, network(width=14, num_added=2), network(width=12)]
        source = generator.choice([good] * 8 + faults)
        return Reply(fenced(source) if generator.random() < 0.9 else "I would rather not.")
    return Reply(fenced(good if generator.random() < 0.7 else BROKEN))
