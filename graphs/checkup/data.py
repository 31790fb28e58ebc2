"""The data sets: which are here, and where to get the others."""

from __future__ import annotations

from fairnad.errors import TaskError, UserError
from fairnad.settings import RunContext
from graphs.checkup import Finding, fail, ok, warn
from graphs.inputs import Inputs, load_task_of, read_inputs


def examine_data(context: RunContext) -> tuple[Inputs | None, list[Finding]]:
    """What a search reads before it starts, ``None`` where it cannot be read; then all tasks of the pack."""
    from prompts.loader import load_pack

    inputs: Inputs | None = None
    needed: list[Finding] = []
    try:
        inputs = read_inputs(context)
    except TaskError:
        pass  # told below, with the other tasks
    except UserError as error:
        needed.append(fail("settings", str(error), "mend the setting"))
    try:
        pack = load_pack(context.pack)
    except UserError:
        return None, needed
    return inputs, [*needed, *(_task(context, name) for name in pack.tasks)]


def _task(context: RunContext, name: str) -> Finding:
    is_needed = name == context.task
    size = context.image_size if is_needed else 0
    try:
        task = load_task_of(context.model_copy(update={"task": name, "base": "", "image_size": size}))
    except TaskError as error:
        found, _, advice = str(error).partition("; ")
        return fail(name, found, advice) if is_needed else warn(name, found, advice)
    splits = f"{len(task.train):,} to train on, {len(task.validation):,} to validate"
    return ok(name, f"{splits}, {task.image_size}×{task.image_size}")
