"""Checks the data set of the task."""

from __future__ import annotations

from fairnad.errors import TaskError, UserError
from fairnad.settings.search_settings import RunContext
from graphs.cli.doctor import Finding, fail, ok, warn
from graphs.report.task_text import classes_text, left_out_text
from graphs.runtime.inputs import Inputs, read_inputs


def examine_data(context: RunContext) -> tuple[Inputs | None, list[Finding]]:
    """The inputs of the search, ``None`` if they cannot be read, and the findings about them."""
    try:
        inputs = read_inputs(context)
    except TaskError as error:
        found, _, advice = str(error).partition("; ")
        return None, [fail(context.task, found, advice)]
    except UserError as error:
        return None, [fail("settings", str(error), "correct the setting")]
    task = inputs.task
    splits = f"{len(task.train):,} training and {len(task.validation):,} validation images"
    findings = [ok(task.name, f"{splits}, {task.image_size}×{task.image_size}")]
    findings += [ok("classes", f"{text}, training images") for text in classes_text(task.report)]
    findings += [warn("images", f"left out: {text}", "") for text in left_out_text(task.report)]
    return inputs, findings + [_notice(notice) for notice in task.report.notices]


def _notice(notice: str) -> Finding:
    found, _, advice = notice.partition("; ")
    return warn("images", found, advice)
