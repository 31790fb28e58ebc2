"""What is decided from the history when a candidate is drawn, and stays decided however often it is resumed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choices:
    """How the language models go about one candidate; everything is empty where nothing was chosen.

    ``model`` is the language model that designs it; ``form`` how its mutation is written; ``resample`` the kinds of
    failures after which a fresh draw is better than a repair; ``lessons`` what earlier draws of the idea's category
    taught, a line each, for the prompts; ``parts`` the ids of the checked modules the mutator is offered.
    """

    model: str = ""
    form: str = ""
    resample: tuple[str, ...] = ()
    lessons: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


NO_CHOICES = Choices()
"""Nothing was chosen: for the base, and for work outside a search."""
