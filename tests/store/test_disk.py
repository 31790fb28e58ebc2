from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairnad.errors import StorageError
from store.disk import disk_errors, is_sealed, lock, seal, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    write_whole(path, ["old"])
    write_whole(path, ["new", " and ", "whole\r\n"], durable=True)
    assert path.read_bytes() == b"new and whole\r\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_breaks_off_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def pieces() -> Iterator[str]:
        yield "half of the "
        raise RuntimeError("the history went away")

    path = tmp_path / "report.txt"
    write_whole(path, ["old"])
    with pytest.raises(RuntimeError, match="the history went away"):
        write_whole(path, pieces())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_has_no_utf8_form_is_escaped(tmp_path: Path) -> None:
    write_whole(tmp_path / "source.txt", ["π = '\ud83d'"])
    assert (tmp_path / "source.txt").read_text(encoding="utf-8") == "π = '\\ud83d'"


def test_a_disk_that_refuses_is_one_line_with_the_place_and_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(StorageError) as caught:
        write_whole(path, ["text"])
    assert str(caught.value) == (
        f"{path} must be readable and writable, but: no such file or directory; nothing that was stored is lost: "
        "free some space or fix the permissions, then run the same command again"
    )
    with pytest.raises(StorageError, match="but: odd;"), disk_errors(path):
        raise OSError("Odd")


def test_a_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    held = lock(tmp_path, wait=False)
    with pytest.raises(BlockingIOError):
        lock(tmp_path, wait=False)
    os.close(held)
    os.close(lock(tmp_path, wait=False))


def test_a_seal_is_broken_by_every_change_and_by_another_label(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    file = folder / "deep" / "file"
    assert not is_sealed(folder, "mine")
    file.parent.mkdir(parents=True)
    assert not is_sealed(folder, "mine")
    file.write_bytes(b"\0")
    seal(folder, "mine")
    assert is_sealed(folder, "mine")
    assert not is_sealed(folder, "another's")
    file.write_bytes(b"\1")
    assert not is_sealed(folder, "mine")
    file.write_bytes(b"\0")
    assert is_sealed(folder, "mine")
    (folder / "new").touch()
    assert not is_sealed(folder, "mine")
    (folder / "new").unlink()
    file.unlink()
    assert not is_sealed(folder, "mine")


def test_what_is_no_seal_seals_nothing(tmp_path: Path) -> None:
    for content in (b"", b"{", b"\xff", b"[]", b"{}"):
        (tmp_path / "seal.json").write_bytes(content)
        assert not is_sealed(tmp_path, "mine")
    assert not is_sealed(tmp_path / "seal.json", "mine")
