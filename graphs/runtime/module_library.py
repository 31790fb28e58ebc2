"""The library of a search: modules that ship with the pack, and those of its own candidates that passed.

Which of them a mutator is offered is decided at the draw, from the records of earlier waves.
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
"""The step that finds a candidate's modules and tries each alone."""
_PACK = 1
"""The version of the step, taken by the base, that tries the pack's modules."""
MODULES: TypeAdapter[tuple[CheckedModule, ...]] = TypeAdapter(tuple[CheckedModule, ...])


class Library:
    """Modules to compose from.

    Args:
        check: tries a module alone.
        size: how many a mutator is offered.
    """

    def __init__(
        self,
        pack: Pack,
        store: ChromaModuleStore,
        history: SqliteHistory,
        steps: Steps,
        check: Check,
        size: int,
    ) -> None:
        self._pack = pack
        self._store = store
        self._history = history
        self._steps = steps
        self._check = check
        self._size = size

    async def open(self) -> None:
        """Try the pack's modules, once a run, and take them in.

        Raises:
            PackError: one of them does not run, or changes the shape of its map.
        """
        shipped = self._pack.modules
        checked = await self._steps.once(BASE_ID, ADMIT, _PACK, MODULES, self._try_pack) if shipped else ()
        await asyncio.to_thread(self._store.add, checked)

    async def admit(self, record: Record, parent: str) -> None:
        """Take in what is new in a candidate that trained and keeps the contract when it is tried alone."""
        from agents.module_library import new_modules

        if record.evaluation is None or record.place.stage is Stage.BASE or not record.idea.text:
            return

        async def find() -> tuple[CheckedModule, ...]:
            found = []
            # Not in a thread: Python 3.11 fails where two threads parse at a time.
            for name, text, alone in new_modules(record.source, parent):
                if not isinstance(await self._check(alone), Failure):
                    found.append(CheckedModule(f"{record.candidate_id}/{name}", name, record.idea.text, text))
            return tuple(found)

        await self._steps.once(record.candidate_id, ADMIT, 0, MODULES, find)

    def offered(self, idea: Idea, earlier: History) -> tuple[str, ...]:
        """The ids of the modules that do what is closest to an idea; none for one that scales or adjusts a network.

        Args:
            earlier: the records whose modules may be among them.
        """
        if not idea.asks_for_a_module:
            return ()
        own = list(self._own(earlier))
        self._store.add(own)
        among = [module.module_id for module in (*self._pack.modules, *own)]
        return tuple(module.module_id for module in distinct(self._store.nearest(idea.text, among), self._size))

    def parts(self, module_ids: Sequence[str]) -> tuple[CheckedModule, ...]:
        """The modules of some ids."""
        missing = [name for name in module_ids if self._store.get(name) is None]
        if missing:
            self._store.add(self._own(History(self._history.records())))
        return tuple(module for name in module_ids if (module := self._store.get(name)) is not None)

    def close(self) -> None:
        """Let go of the index."""
        self._store.close()

    def _own(self, earlier: History) -> Iterator[CheckedModule]:
        for candidate_id, stored in self._history.find_steps(ADMIT, 0):
            if earlier.get(candidate_id) is not None:
                yield from MODULES.validate_python(stored["result"])

    async def _try_pack(self) -> tuple[CheckedModule, ...]:
        await asyncio.gather(*map(self._try, self._pack.modules))
        return self._pack.modules

    async def _try(self, module: CheckedModule) -> None:
        from agents.builtin.new_module import ModuleError
        from agents.module_library import alone

        place = f"{self._pack.folder / 'modules.py'}: class {module.name}"
        try:
            report = await self._check(alone(module))
        except ModuleError as error:
            raise PackError(f"{place}: {error}: mend it") from error
        if isinstance(report, Failure):
            raise PackError(f"{place} does not run, or changes the shape of its map: {report.message}: mend it")
