"""The folder of a knowledge build: settings, finished steps and results."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

from fairnad.errors import KnowledgeError
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from store.disk import disk_errors, lock, write_whole
from store.history_store import SqliteHistory
from store.idea_files import write_ideas

STEPS_NAME = "steps.sqlite"
TREE_NAME = "attribute_tree.yaml"
IDEAS_NAME = "ideas.jsonl"
INDEX_NAME = ".index"
_BASIS = "basis"


class KnowledgeFolder:
    """A knowledge folder while this process builds in it.

    ``steps.sqlite`` holds every finished step; ``attribute_tree.yaml`` and ``ideas.jsonl`` are the results, replaced
    atomically; ``papers.jsonl``, ``structuring.md`` and ``summary.json`` are for people.
    """

    def __init__(self, path: Path, steps: SqliteHistory, held: int) -> None:
        self.path = path
        self.steps = steps
        self._held: int | None = held

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create the folder, and lock it until it is closed.

        Raises:
            KnowledgeError: another process builds in it.
            RunFolderError: ``steps.sqlite`` belongs to another program or version.
            StorageError: the disk is full, or the folder cannot be read or written.
        """
        with contextlib.ExitStack() as undo:
            with disk_errors(path):
                path.mkdir(parents=True, exist_ok=True)
                try:
                    held = lock(path, wait=False)
                except BlockingIOError:
                    message = f"{path} is being built by another process: wait, or choose another --out"
                    raise KnowledgeError(message) from None
            undo.callback(os.close, held)
            folder = cls(path, SqliteHistory(path / STEPS_NAME), held)
            undo.pop_all()
        return folder

    def settle(self, part: str, basis: Mapping[str, object]) -> None:
        """Store the settings of a part of the folder at its first start; later starts must have the same.

        Raises:
            KnowledgeError: the settings differ from the stored ones.
        """
        before = self.steps.find_step(part, _BASIS, 0)
        if before is None:
            self.steps.add_step(part, _BASIS, 0, basis)
            return
        changed = [name for name in basis if before.get(name) != basis[name]]
        if changed:
            differences = ", ".join(f"{name} (was {before.get(name)}, now {basis[name]})" for name in changed)
            raise KnowledgeError(
                f"{self.path} was started with other settings: {differences}; "
                "use the same settings, or choose another --out"
            )

    def write_tree(self, tree: AttributeTree) -> None:
        """Write ``attribute_tree.yaml``."""
        write_whole(self.path / TREE_NAME, [tree_text(tree)])

    def write_ideas(self, ideas: Iterable[Idea]) -> None:
        """Write ``ideas.jsonl``."""
        write_ideas(self.path / IDEAS_NAME, ideas)

    def write_text(self, name: str, text: str) -> None:
        """Write a file for people to read."""
        write_whole(self.path / name, [text])

    def write_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a file of JSON lines."""
        write_rows(self.path / name, rows)

    def close(self) -> None:
        """Close the steps and release the folder; a second call does nothing."""
        if self._held is not None:
            self.steps.close()
            os.close(self._held)
            self._held = None


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines atomically.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    write_whole(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def tree_text(tree: AttributeTree) -> str:
    """The tree as YAML, as in packs."""
    content: dict[str, dict[str, dict[str, list[str]]]] = {}
    for category, subs in tree.categories.items():
        levels = content.setdefault(str(category.target), {})
        levels.setdefault(str(category.granularity), {})[category.main] = list(subs)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
