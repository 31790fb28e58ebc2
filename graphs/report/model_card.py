"""The model card of a result: the network, how it was found and measured, and its limits."""

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
from fairnad.settings.casting import describe_players
from graphs.report.finals_text import verdict_text
from graphs.report.task_text import task_text

if TYPE_CHECKING:
    from fairnad.records.history import History, Record
    from fairnad.search.finals import Finals
    from fairnad.search.promotion import Rung
    from graphs.runtime.run_services import RunServices

TEMPLATE_NAME = "model_card.md.jinja"
_PACKAGES = ("torch", "numpy", "pillow", "safetensors", "onnx")


def make_card(
    run: RunServices, history: History, finals: Finals, rungs: Sequence[Rung], findings: Sequence[str]
) -> str:
    """The card as Markdown.

    Args:
        findings: one line per check of the result files.
    """
    winner = history[finals.winner_id]
    assert winner.evaluation is not None, "finalists are trained"
    contents = {
        "context": run.context,
        "designer": describe_players(run.context),
        "task": run.task,
        "task_text": task_text(run.task.report, run.budgets),
        "budgets": run.budgets,
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
    """Text of a language model on one line, with all Markdown and HTML escaped."""
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", " ".join(text.split()))


def change_text(record: Record) -> str:
    """The change to the parent, if known, and the idea behind it, as Markdown."""
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
