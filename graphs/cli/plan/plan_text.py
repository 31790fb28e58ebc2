"""``--dry-run``: prints the plan of a search and its maximum cost. Nothing is started or written.

With ``--json``: ``run``, ``folder``, ``num_trained`` so far, ``task`` (``name``, ``num_train``, ``num_validation``,
``num_classes``, ``image_size``), ``images`` (``class_counts`` of the training images, files ``left_out`` by reason,
``notices``), ``base`` (``costs``, ``shares``, ``scaling``: the widths raised before the search), ``budgets`` (limits by
name),
``recipe`` (``name``, ``digest``, ``num_epochs``, ``batch_size``), ``num_ideas``, ``designers`` by role, ``device``,
``num_slots``, ``legs`` (``generation``, ``stage``, ``num_trained``), ``num_generations``, ``trainings`` (``base``,
``candidates``, ``promotions``, ``finals``), ``most_draws``, ``warnings`` (lines), ``calls`` (see
:class:`graphs.cli.plan.call_estimate.CallEstimate`), ``usd`` (``least`` and ``most``; ``None`` without prices).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from fairnad.formatting import printable, quantity_text, share_text
from fairnad.records.candidate import Stage
from fairnad.records.prices import dearest
from fairnad.settings.casting import describe_players, name_players
from fairnad.settings.search_settings import RunContext
from graphs.cli.arguments import Presentation
from graphs.cli.output.terminal import make_console, make_table, print_json, print_table, print_text
from graphs.cli.plan.plan import Plan, make_plan
from graphs.report.task_text import classes_text, left_out_text
from graphs.runtime.base_scaling import base_text
from store.run_folder import run_path
from tools.slots import device_name

_MOST_ROWS = 8


def print_plan(context: RunContext, presentation: Presentation) -> int:
    """Print the plan of a search and return the exit status.

    Raises:
        UserError: the search cannot start with these settings.
        LabError: the sandbox, which measures the base, does not start.
    """
    plan = make_plan(context)
    if presentation.json:
        print_json(_plain(plan))
    else:
        _print(make_console(), plan)
    return 0


def _print(console: Console, plan: Plan) -> None:
    context = plan.context
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(plan):
        table.add_row(name, value)
    console.print("plan of a search; nothing is started or written\n")
    print_table(console, table)
    console.print()
    print_table(console, _stage_table(plan))
    console.print()
    if plan.calls:
        print_table(console, _call_table(plan))
        console.print()
        if dearest(context.llm).is_known:
            console.print(f"cost: {_usd_range(plan)} USD at the highest price of all models")
        print_text(
            console,
            "Minimum: every candidate passes all checks at once. Maximum: every slot needs "
            f"{context.search.max_draws} draws, and every draw all its debugs and downscales. The search also stops "
            f"after {context.search.max_stalled_draws} draws in a row without a trained candidate. Tokens are "
            "estimates; retries after an endpoint error are not counted.",
        )
    else:
        console.print("no language model: no calls, no tokens")
    console.print("The time forecast follows when the base has trained.")


def _rows(plan: Plan) -> list[tuple[str, str]]:
    context, task, recipe = plan.context, plan.inputs.task, plan.inputs.recipe
    state = f"resumed: {plan.num_already} of {context.archs} trained" if plan.num_already else "new"
    size = f"{task.image_size}×{task.image_size}"
    images = f"{len(task.train):,} training and {len(task.validation):,} validation images"
    costs = [
        f"{plan.base_costs[budget.name]:,.10g} {budget.name}, {share_text(plan.shares[budget.name])} of the limit of "
        f"{quantity_text(budget.limit)}"
        for budget in plan.budgets
    ]
    over = [f"over budget: first reduced to the limits, in at most {context.search.max_downscales} downscales"]
    started = base_text(context, plan.base)
    base = [*costs, *(over if plan.base_is_over else []), *([started.removeprefix("Base: ")] if started else [])]
    return [
        ("run", f"{run_path(context)} ({state})"),
        ("task", f"{task.name}: {images}, {task.num_classes} classes, {size}"),
        *(("classes", printable(f"{text}, training images")) for text in classes_text(task.report)),
        *(("left out", printable(text)) for text in left_out_text(task.report)),
        *(("images", printable(text)) for text in task.report.notices),
        *(("base" if not number else "", line) for number, line in enumerate(base)),
        ("recipe", f"{recipe.name}: {recipe.num_epochs} epochs, batches of {recipe.batch_size} ({recipe.digest})"),
        ("ideas", f"{plan.num_ideas}"),
        ("roles", describe_players(context)),
        ("slots", f"{plan.num_slots} on {device_name(context.lab)}"),
        ("trainings", _trainings(plan)),
        ("draws", f"{plan.num_to_train} at least, {plan.most_draws} at most"),
        *(("warning", warning) for warning in plan.warnings),
    ]


def _trainings(plan: Plan) -> str:
    parts = [f"{plan.num_to_train} candidates"]
    if not plan.has_base:
        parts.insert(0, "1 base")
    if plan.ending.num_promotions:
        parts.append(f"{plan.ending.num_promotions} to promote the best")
    if plan.ending.num_finals:
        parts.append(f"{plan.ending.num_finals} for the finals")
    return f"{plan.num_trainings}: {' + '.join(parts)}"


def _stage_table(plan: Plan) -> Table:
    """A row per generation; of many, only the first and the last."""
    stages = [Stage.INITIAL, Stage.FAIR, Stage.PARETO, Stage.REFINE]
    counts: dict[int, dict[Stage, int]] = {}
    for leg in plan.legs:
        counts.setdefault(leg.generation, {})[leg.stage] = leg.num_trained
    rows, total = [], plan.num_already
    for generation, trained in counts.items():
        total += sum(trained.values())
        rows.append([str(generation), *(str(trained.get(stage, "")) for stage in stages), str(total)])
    if len(rows) > _MOST_ROWS:
        rows[_MOST_ROWS - 3 : -2] = [["…"] * (len(stages) + 2)]
    headings = ("generation", *map(str, stages), "trained in total")
    table = make_table(*headings, numbers=headings)
    for row in rows:
        table.add_row(*row)
    return table


def _call_table(plan: Plan) -> Table:
    figures = ("calls", "tokens in", "tokens out")
    table = make_table("role", *figures, numbers=figures)
    totals = [0] * 6
    for estimate in plan.calls:
        counts = list(asdict(estimate).values())[1:]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        table.add_row(estimate.role.replace("_", " "), *_ranges(counts))
    table.add_section()
    table.add_row("all", *_ranges(totals))
    return table


def _ranges(counts: Sequence[int]) -> list[str]:
    """Pairs of minimum and maximum, as texts: calls, tokens in and tokens out."""
    texts = [f"{count:,}" if number < 2 else quantity_text(count) for number, count in enumerate(counts)]
    return [f"{least} – {most}" for least, most in zip(texts[::2], texts[1::2], strict=True)]


def _usd(plan: Plan) -> tuple[float, float]:
    """Minimum and maximum cost of all calls, at the highest price of all models."""
    price = dearest(plan.context.llm)
    least = sum(price.usd(one.least_input_tokens, one.least_output_tokens) for one in plan.calls)
    most = sum(price.usd(one.most_input_tokens, one.most_output_tokens) for one in plan.calls)
    return least, most


def _usd_range(plan: Plan) -> str:
    least, most = _usd(plan)
    return f"{least:.2f} – {most:.2f}"


def _plain(plan: Plan) -> dict[str, Any]:
    context, task, recipe = plan.context, plan.inputs.task, plan.inputs.recipe
    return {
        "run": context.run_name,
        "folder": str(run_path(context)),
        "num_trained": plan.num_already,
        "task": {
            "name": task.name,
            "num_train": len(task.train),
            "num_validation": len(task.validation),
            "num_classes": task.num_classes,
            "image_size": task.image_size,
        },
        "images": {
            "class_counts": dict(task.report.class_counts),
            "left_out": dict(task.report.left_out),
            "notices": list(task.report.notices),
        },
        "base": {"costs": dict(plan.base_costs), "shares": plan.shares, "scaling": plan.base.note},
        "budgets": {budget.name: budget.limit for budget in plan.budgets},
        "recipe": {
            "name": recipe.name,
            "digest": recipe.digest,
            "num_epochs": recipe.num_epochs,
            "batch_size": recipe.batch_size,
        },
        "num_ideas": plan.num_ideas,
        "designers": name_players(context),
        "device": device_name(context.lab),
        "num_slots": plan.num_slots,
        "legs": [{**leg._asdict(), "stage": str(leg.stage)} for leg in plan.legs],
        "num_generations": max((leg.generation for leg in plan.legs), default=0),
        "trainings": {
            "base": 0 if plan.has_base else 1,
            "candidates": plan.num_to_train,
            "promotions": plan.ending.num_promotions,
            "finals": plan.ending.num_finals,
        },
        "most_draws": plan.most_draws,
        "warnings": plan.warnings,
        "calls": [asdict(estimate) for estimate in plan.calls],
        "usd": dict(zip(("least", "most"), _usd(plan), strict=True)) if dearest(context.llm).is_known else None,
    }
