"""The model card of a result: what the network is, how it was found and measured, and what it is not for."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fairnad.formatting import share_text, spread_text
from fairnad.records.candidate import Stage
from fairnad.records.lineage import gain, lineage
from graphs.report.finals_text import verdict_text
from graphs.report.task_text import task_text
from graphs.runtime.roles import describe

if TYPE_CHECKING:
    from fairnad.records.history import History, Record
    from fairnad.search.finals import Finals
    from fairnad.search.promotion import Rung
    from graphs.runtime.run_services import Bench

TEMPLATE_NAME = "model_card.md.jinja"
_PACKAGES = ("torch", "numpy", "pillow", "safetensors", "onnx")


def make_card(bench: Bench, history: History, finals: Finals, rungs: Sequence[Rung], findings: Sequence[str]) -> str:
    """The card as Markdown.

    Args:
        findings: what was found out about the files of the result, a line each.
    """
    winner = history[finals.winner_id]
    assert winner.evaluation is not None, "only what has trained takes part in the finals"
    contents = {
        "context": bench.context,
        "designer": describe(bench.context),
        "task": bench.task,
        "task_text": task_text(bench.task.report, bench.budgets),
        "budgets": bench.budgets,
        "evaluation": winner.evaluation,
        "finals": finals,
        "verdict": verdict_text(finals),
        "recipe": rungs[-1].recipe,
        "rungs": rungs,
        "num_trained": len(history.trained),
        "lineage": [(record, gain(history, record)) for record in lineage(history, winner)],
        "findings": findings,
        "versions": _versions(),
    }
    return _template_environment().get_template(TEMPLATE_NAME).render(contents)


def plain_text(text: str) -> str:
    """What a language model wrote, on one line and with nothing in it that Markdown or HTML would obey."""
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", " ".join(text.split()))


def change_text(record: Record) -> str:
    """What was done to the parent, where that is known, then the idea behind it; as Markdown."""
    idea = plain_text(record.idea.text)
    if record.idea.tag is not None:
        idea += f" ({plain_text(str(record.idea.tag))})"
    if record.idea.source.title:
        idea += f", after “{plain_text(record.idea.source.title)}”"
    unknown = "the base model" if record.stage is Stage.BASE else "no idea is known"
    return "; idea: ".join(filter(None, [plain_text(record.note), idea])) or unknown


def _versions() -> Mapping[str, str]:
    return {"Python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def _template_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"change": change_text, "plain": plain_text, "share": share_text, "spread": spread_text}
    return environment
