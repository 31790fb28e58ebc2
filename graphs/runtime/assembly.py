"""Opens a bench: reads what is given, opens the run folder, starts the lab, casts the roles."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

from fairnad.ports import CallLog
from fairnad.search.stalls import BarrenCount
from fairnad.settings.search_settings import RunContext
from graphs.runtime.base_scaling import settle_base
from graphs.runtime.draw_choices import has_library
from graphs.runtime.ending import refuse_after_final_test
from graphs.runtime.idea_base import make_embedder, open_ideas, selecting
from graphs.runtime.inputs import check_pack, check_recipe, read_inputs
from graphs.runtime.isolation import refuse_weak_isolation
from graphs.runtime.limits import settle_budgets
from graphs.runtime.module_library import Library
from graphs.runtime.replay import check_replay, recorded_calls
from graphs.runtime.roles import cast, make_roles
from graphs.runtime.run_services import Bench
from graphs.runtime.spend_limit import Purse, check_prices
from graphs.runtime.steps import Steps
from graphs.search.async_candidates import Flights
from graphs.search.steady_draws import draws_to_follow

if TYPE_CHECKING:
    from prompts.loader import Pack
    from store.run_folder import RunFolder
    from tools.lab import TorchLab


async def open_bench(context: RunContext) -> Bench:
    """The bench for these settings. Everything the user can get wrong is found here, before any work is done.

    Raises:
        UserError: a setting, the pack, the data, the ideas or the run folder cannot be used.
        LabError: the sandbox does not start.
    """
    from agents.llm.client import LanguageModel
    from store.run_folder import RunFolder, refuse_changes_of_run
    from tools.lab import TorchLab

    by_model = any(cast(context).values())
    check_prices(context)
    check_replay(context)
    to_follow = await asyncio.to_thread(draws_to_follow, context)
    await asyncio.to_thread(refuse_changes_of_run, context)
    stop = threading.Event()
    try:
        inputs = await asyncio.to_thread(read_inputs, context, stop)
    finally:
        stop.set()  # whoever stops waiting for the images ends their reading
    pack = inputs.pack
    ideas = await asyncio.to_thread(open_ideas, context, pack)
    select = await asyncio.to_thread(selecting, context, pack, ideas)
    async with contextlib.AsyncExitStack() as undo:
        folder = await asyncio.to_thread(RunFolder.open, context)
        undo.push_async_callback(asyncio.to_thread, folder.close)
        await asyncio.to_thread(_settle_pack, folder, pack)
        await asyncio.to_thread(refuse_after_final_test, context, folder.history)
        purse = Purse(folder.ledger, context.limit)
        undo.push_async_callback(purse.close)
        await purse.open()
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
        model = LanguageModel(context.llm, calls, ledger=purse) if by_model else None
        records = await asyncio.to_thread(folder.history.records)
        bench = Bench(
            context=context,
            folder=folder,
            pack=pack,
            task=inputs.task,
            recipes=inputs.recipes,
            budgets=budgets,
            base=base,
            lab=lab,
            purse=purse,
            language_model=model,
            library=await _library(context, pack, folder, steps, lab, undo),
            select=select,
            roles=make_roles(context, pack, model, lab, budgets, select(())),
            steps=steps,
            flights=Flights(),
            to_follow=to_follow,
            barren=BarrenCount(record.candidate_id for record in records),
        )
        check_recipe(await bench.history(), inputs.recipe, folder.path)
        undo.pop_all()
    return bench


def _settle_pack(folder: RunFolder, pack: Pack) -> None:
    """Fix the pack for the run, once it has a record; a run of before this was noted goes on with today's files."""
    if folder.history.records():
        check_pack(folder.history, pack, folder.path)
    folder.history.note_pack(pack.digest, pack.files)


async def _library(
    context: RunContext, pack: Pack, folder: RunFolder, steps: Steps, lab: TorchLab, undo: contextlib.AsyncExitStack
) -> Library | None:
    """The modules a mutator may compose from; ``None`` where no language model mutates, or none are wanted."""
    if not has_library(context):
        return None
    from store.module_store import ChromaModuleStore

    store = ChromaModuleStore(make_embedder(context))
    library = Library(pack, store, folder.history, steps, lab.check, context.agents.library)
    undo.push_async_callback(asyncio.to_thread, library.close)
    await library.open()
    return library


def _call_log(context: RunContext, folder: RunFolder, pack_digest: str) -> CallLog:
    """Where calls are stored, and where their answers come from in place of an endpoint."""
    from store.call_file import ReplayedCalls

    log = folder.call_log(pack_digest)
    if not context.llm.replay:
        return log
    return ReplayedCalls(log, recorded_calls(context.llm.replay, context.runs), pack_digest)
