"""Files of a run that hold bytes: weights that are kept, and the result folder, each written whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from fairnad.errors import RunFolderError
from store.disk import disk_errors, whole_file


def keep(path: Path, content: bytes) -> str:
    """Write a file so that it survives a power cut, and its folder where there is none; its SHA-256 in hexadecimal.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, durable=True) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_kept(path: Path, digest: str) -> bytes:
    """The content of a file that :func:`keep` wrote.

    Raises:
        RunFolderError: it is gone, or is no longer what was written.
        StorageError: it cannot be read.
    """
    if not path.is_file():
        raise RunFolderError(f"expected trained weights, found no file {path}; put it back, or choose another --run")
    with disk_errors(path):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise RunFolderError(
            f"expected the weights that were trained, found others in {path}; put them back, or choose another --run"
        )
    return content


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder that holds these files and nothing else; whoever looks finds the old folder, none, or the new one.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    with disk_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, content in files.items():
            (partial / name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
