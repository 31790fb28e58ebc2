"""Chroma, imported on first use: it takes about a second, and many commands do not need it."""

from __future__ import annotations

import resource
from types import ModuleType

from fairnad.errors import StorageError
from fairnad.open_files import is_short, shortage_text
from prompts.paths import ensure_home


def import_chroma() -> ModuleType:
    """The package ``chromadb``.

    Raises:
        StorageError: the process may have too few open files; Chroma would end it without a message.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if is_short(limit):
        raise StorageError(shortage_text(limit))
    ensure_home()
    import chromadb

    return chromadb
