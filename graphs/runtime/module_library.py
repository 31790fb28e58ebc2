"""The module library of a run: checked modules from the pack and from the run's candidates.

The modules for a mutator are chosen at the draw, from the records of earlier waves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fairnad.errors import PackError
from fairnad.ideas.checked_modules import CheckedModule, distinct
from fairnad.ideas.idea import Idea
from fairnad.records.candidate import BASE_ID, Failure, Stage
from fairnad.records.history import History, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fairnad.ports import Check
    from graphs.runtime.steps import Steps
    from prompts.loader import Pack
    from store.history_store import SqliteHistory
    from store.module_store import ChromaModuleStore

ADMIT = "admit"
"""The step that checks the new modules of a candidate."""
_PACK = 2
"""The version of the base's step, which checks the pack's modules; version 1 belongs to older packs."""
MODULES: TypeAdapter[tuple[CheckedModule, ...]] = TypeAdapter(tuple[CheckedModule, ...])


NUM_MODULES = 4
"""The number of modules in a mutation prompt."""


class RunLibrary:
    """The modules that sources can be composed from.

    Args:
        check: checks the source of a network.
        size: number of modules in a mutation prompt.
    """

    def __init__(
        self, pack: Pack, store: ChromaModuleStore, history: SqliteHistory, steps: Steps, check: Check, size: int
    ) -> None:
        self._pack = pack
        self._store = store
        self._history = history
        self._steps = steps
        self._check = check
        self._size = size

    async def open(self) -> None:
        """Check the pack's modules, once per run, and index them.

        Raises:
            PackError: a module does not run, or changes the shape of its input.
        """
        offered = self._pack.library.offered
        checked = await self._steps.once(BASE_ID, ADMIT, _PACK, MODULES, self._check_pack) if offered else ()
        await asyncio.to_thread(self._store.add, checked)

    async def admit(self, record: Record, parent: str) -> None:
        """Store the new modules of a trained candidate that run alone and keep the shape of their input."""
        from agents.module_library import find_new_modules

        if record.evaluation is None or record.place.stage is Stage.BASE or not record.idea.text:
            return

        async def find() -> tuple[CheckedModule, ...]:
            found = []
            # Not in a thread: Python 3.11 fails if two threads parse at the same time.
            for name, text, network in find_new_modules(record.source, parent):
                if not isinstance(await self._check(network), Failure):
                    found.append(CheckedModule(f"{record.candidate_id}/{name}", name, record.idea.text, text))
            return tuple(found)

        await self._steps.once(record.candidate_id, ADMIT, 0, MODULES, find)

    def offer(self, idea: Idea, earlier: History) -> tuple[str, ...]:
        """The ids of the modules closest in meaning to an idea; empty for ideas that scale or adjust a network.

        Args:
            earlier: the records whose modules may be used.
        """
        if not idea.asks_for_a_module:
            return ()
        own = list(self._own_modules(earlier))
        self._store.add(own)
        among = [module.module_id for module in (*self._pack.library.offered, *own)]
        return tuple(module.module_id for module in distinct(self._store.nearest(idea.text, among), self._size))

    def modules(self, module_ids: Sequence[str]) -> tuple[CheckedModule, ...]:
        """The modules of some ids; unknown ids are skipped."""
        if any(self._store.get(name) is None for name in module_ids):
            self._store.add(self._own_modules(History(self._history.records())))
        return tuple(module for name in module_ids if (module := self._store.get(name)) is not None)

    def close(self) -> None:
        """Close the index."""
        self._store.close()

    def _own_modules(self, earlier: History) -> Iterator[CheckedModule]:
        for candidate_id, stored in self._history.find_steps(ADMIT, 0):
            if earlier.get(candidate_id) is not None:
                yield from MODULES.validate_python(stored["result"])

    async def _check_pack(self) -> tuple[CheckedModule, ...]:
        await asyncio.gather(*map(self._check_module, self._pack.library.offered))
        return self._pack.library.offered

    async def _check_module(self, module: CheckedModule) -> None:
        from agents.builtin.new_module import ModuleError
        from agents.module_library import write_test_network

        place = f"{self._pack.folder / 'modules'}: class {module.name}"
        try:
            report = await self._check(write_test_network(module))
        except ModuleError as error:
            raise PackError(f"{place}: {error}; fix it") from error
        if isinstance(report, Failure):
            raise PackError(f"{place} does not run, or changes the shape of its input: {report.message}; fix it")
