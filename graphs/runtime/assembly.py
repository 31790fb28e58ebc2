"""Opens the services of a run: reads the inputs, opens the run folder, starts the lab, makes the roles."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from fairnad.ports import CallLog
from fairnad.search.draw_choices import offers_modules
from fairnad.search.stalls import StallCounter
from fairnad.settings.casting import asks_model
from fairnad.settings.search_settings import RunContext
from graphs.runtime.async_candidates import AsyncCandidates
from graphs.runtime.base_scaling import settle_base
from graphs.runtime.draws import Draws, draws_to_follow
from graphs.runtime.ending import refuse_after_final_test
from graphs.runtime.idea_base import make_embedder, make_selector, open_ideas
from graphs.runtime.inputs import check_pack, check_recipe, read_inputs
from graphs.runtime.isolation import refuse_weak_isolation
from graphs.runtime.limits import settle_budgets
from graphs.runtime.module_library import NUM_MODULES, RunLibrary
from graphs.runtime.replay import check_replay, find_recorded_calls
from graphs.runtime.roles import make_roles
from graphs.runtime.run_services import RunServices
from graphs.runtime.spend_limit import SpendLimit, check_prices
from graphs.runtime.steps import Steps

if TYPE_CHECKING:
    from prompts.loader import Pack
    from store.run_folder import RunFolder
    from tools.lab import TorchLab


async def open_services(context: RunContext) -> RunServices:
    """Open the services for these settings; this finds every mistake of the user before any work starts.

    Raises:
        UserError: a setting, the pack, the data, the ideas or the run folder cannot be used.
        LabError: the sandbox does not start.
    """
    from agents.llm.client import LanguageModel
    from store.run_folder import RunFolder, refuse_changes_of_run
    from tools.lab import TorchLab

    by_model = asks_model(context)
    check_prices(context)
    check_replay(context)
    followed = await asyncio.to_thread(draws_to_follow, context)
    await asyncio.to_thread(refuse_changes_of_run, context)
    stop = threading.Event()
    try:
        inputs = await asyncio.to_thread(read_inputs, context, stop)
    finally:
        stop.set()  # a cancelled start also stops reading images
    pack = inputs.pack
    ideas = await asyncio.to_thread(open_ideas, context, pack)
    select = await asyncio.to_thread(make_selector, context, pack, ideas)
    async with contextlib.AsyncExitStack() as undo:
        folder = await asyncio.to_thread(RunFolder.open, context)
        undo.push_async_callback(asyncio.to_thread, folder.close)
        await asyncio.to_thread(_settle_pack, folder, pack)
        await asyncio.to_thread(refuse_after_final_test, context, folder.history)
        spend_limit = SpendLimit(folder.ledger, context.limit)
        undo.push_async_callback(spend_limit.close)
        await spend_limit.open()
        limited = [budget.name for budget in inputs.stated_budgets]
        lab = await asyncio.to_thread(TorchLab, inputs.task, inputs.recipe, context.lab, folder.scratch, limited)
        undo.push_async_callback(lab.close)
        await lab.start()
        refuse_weak_isolation(context, lab.isolation)
        steps = Steps(folder.history)
        budgets = await settle_budgets(inputs.stated_budgets, inputs.base_source, lab, steps)
        base = await settle_base(inputs.base_source, lab.check, budgets, steps, scales=inputs.scales_base)
        await asyncio.to_thread(folder.note_task, inputs.task.report)
        calls = await asyncio.to_thread(_call_log, context, folder, pack.digest) if by_model else folder.history
        model = LanguageModel(context.llm, calls, ledger=spend_limit) if by_model else None
        records = await asyncio.to_thread(folder.history.records)
        run = RunServices(
            context=context,
            folder=folder,
            pack=pack,
            task=inputs.task,
            recipes=inputs.recipes,
            budgets=budgets,
            base=base,
            lab=lab,
            spend_limit=spend_limit,
            language_model=model,
            library=await _library(context, pack, folder, steps, lab, undo),
            select=select,
            roles=make_roles(context, pack, model, lab, budgets, select(())),
            steps=steps,
            draws=Draws(folder.history, followed),
            async_candidates=AsyncCandidates(),
            stalled=StallCounter(record.candidate_id for record in records),
        )
        check_recipe(await run.history(), inputs.recipe, folder.path)
        undo.pop_all()
    return run


def _settle_pack(folder: RunFolder, pack: Pack) -> None:
    """Store the pack's files with a new run. Runs of versions that did not store them use today's files."""
    if folder.history.records():
        check_pack(folder.history, pack, folder.path)
    folder.history.note_pack(pack.digest, pack.files)


async def _library(
    context: RunContext, pack: Pack, folder: RunFolder, steps: Steps, lab: TorchLab, undo: contextlib.AsyncExitStack
) -> RunLibrary | None:
    """The module library for mutators; ``None`` if no language model mutates, or if it is switched off."""
    if not offers_modules(context):
        return None
    from store.module_store import ChromaModuleStore

    store = ChromaModuleStore(make_embedder(context))
    library = RunLibrary(pack, store, folder.history, steps, lab.check, NUM_MODULES)
    undo.push_async_callback(asyncio.to_thread, library.close)
    await library.open()
    return library


def _call_log(context: RunContext, folder: RunFolder, pack_digest: str) -> CallLog:
    """The log that calls are written to, and the recorded answers to replay."""
    from store.call_file import ReplayedCalls

    log = folder.call_log(pack_digest)
    if not context.llm.replay:
        return log
    return ReplayedCalls(log, find_recorded_calls(context.llm.replay, context.runs), pack_digest)
