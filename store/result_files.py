"""Binary files of a run, written atomically: weights and results."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from fairnad.errors import RunFolderError, SettingsError
from store.disk import disk_errors, whole_file


def keep(path: Path, content: bytes) -> str:
    """Write a file durably, and return its SHA-256 in hexadecimal.

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
        RunFolderError: it is missing, or its content has changed.
        StorageError: it cannot be read.
    """
    if not path.is_file():
        raise RunFolderError(f"expected trained weights, found no file {path}; restore it, or choose another --run")
    with disk_errors(path):
        content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise RunFolderError(
            f"expected the trained weights, found different ones in {path}; restore it, or choose another --run"
        )
    return content


def pack(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a zip archive of these files durably.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    with whole_file(path, durable=True) as file, zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def unpack(path: Path) -> dict[str, bytes]:
    """The files of an archive that :func:`pack` wrote.

    Raises:
        RunFolderError: it is damaged.
        StorageError: it cannot be read.
    """
    try:
        with disk_errors(path), zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile as error:
        raise RunFolderError(
            f"{path} is damaged: {error}; remove it and run the search again, which writes it"
        ) from error


def holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Whether a folder has these files with this content."""
    paths = {folder / name: content for name, content in files.items()}
    return all(path.is_file() and path.read_bytes() == content for path, content in paths.items())


def write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a new or empty folder.

    Raises:
        SettingsError: the folder is not empty, or is a file.
        StorageError: the disk is full, or the folder cannot be written.
    """
    with disk_errors(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            found = "other files in it" if folder.is_dir() else "a file"
            raise SettingsError(f"{folder}: expected a new or empty folder, found {found}; name another one")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)


def publish(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replace a folder by one with exactly these files; a reader finds the old folder, none, or the new one.

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
