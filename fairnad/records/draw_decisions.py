"""Decisions made from the history at a draw. They are stored, and a resumed search keeps them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DrawDecisions:
    """How the language models work on one candidate. Fields without a decision are empty.

    ``model`` designs it. ``form`` is the edit format. ``resample`` lists the kinds of failures after which a fresh draw
    is better than a repair. ``lessons`` are lines about earlier draws for the prompts. ``parts`` are the ids of the
    offered modules of the module library.
    """

    model: str = ""
    form: str = ""
    resample: tuple[str, ...] = ()
    lessons: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


NO_DECISIONS = DrawDecisions()
"""No decisions, for the base and for work outside a search."""
