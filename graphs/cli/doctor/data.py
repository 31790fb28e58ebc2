"""The data set of the task that is asked for."""

from __future__ import annotations

from fairnad.errors import TaskError, UserError
from fairnad.settings.search_settings import RunContext
from graphs.cli.doctor import Finding, fail, ok, warn
from graphs.report.task_text import classes_text, left_out_text
from graphs.runtime.inputs import Inputs, read_inputs


def examine_data(context: RunContext) -> tuple[Inputs | None, list[Finding]]:
    """What a search reads before it starts, ``None`` where it cannot be read; no other data set is looked for."""
    try:
        inputs = read_inputs(context)
    except TaskError as error:
        found, _, advice = str(error).partition("; ")
        return None, [fail(context.task, found, advice)]
    except UserError as error:
        return None, [fail("settings", str(error), "mend the setting")]
    task = inputs.task
    splits = f"{len(task.train):,} to train on, {len(task.validation):,} to validate"
    findings = [ok(task.name, f"{splits}, {task.image_size}×{task.image_size}")]
    findings += [ok("classes", f"{text}, images to train on") for text in classes_text(task.report)]
    findings += [warn("images", f"left out: {text}", "") for text in left_out_text(task.report)]
    return inputs, findings + [_notice(notice) for notice in task.report.notices]


def _notice(notice: str) -> Finding:
    found, _, advice = notice.partition("; ")
    return warn("images", found, advice)
