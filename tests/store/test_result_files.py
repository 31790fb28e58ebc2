"""Weights are kept whole and recognised, and a result folder is the old one or the new one."""

from __future__ import annotations

import hashlib
import resource

import pytest

from fairnad.errors import RunFolderError, SettingsError, StorageError
from store.result_files import holds, keep, pack, publish, read_kept, unpack, write_new


@pytest.fixture
def no_room():
    """Files of more than four kilobytes cannot be written."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_kept_is_read_back(tmp_path):
    path = tmp_path / "weights" / "one"
    digest = keep(path, b"\0\1")
    assert digest == hashlib.sha256(b"\0\1").hexdigest()
    assert read_kept(path, digest) == b"\0\1"
    assert [file.name for file in path.parent.iterdir()] == ["one"]


def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path, no_room):
    path = tmp_path / "one"
    digest = keep(path, b"old")
    with pytest.raises(StorageError, match="one must be readable and writable, but: file too large"):
        keep(path, bytes(8192))
    assert read_kept(path, digest) == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["one"]


def test_weights_that_are_gone_are_told_in_a_line(tmp_path):
    with pytest.raises(RunFolderError, match=r"expected trained weights, found no file .*one; restore it, or choose"):
        read_kept(tmp_path / "one", "digest")


def test_weights_that_were_changed_are_told_in_a_line(tmp_path):
    digest = keep(tmp_path / "one", b"mine")
    (tmp_path / "one").write_bytes(b"yours")
    with pytest.raises(RunFolderError, match=r"expected the trained weights, found different ones in .*one; restore"):
        read_kept(tmp_path / "one", digest)


def test_a_folder_is_published_anew_with_nothing_of_the_old_one(tmp_path):
    folder = tmp_path / "run" / "result"
    publish(folder, {"a": b"1", "b": b"2"})
    (folder / "notes").mkdir()
    publish(folder, {"a": b"3"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a": b"3"}
    assert [path.name for path in folder.parent.iterdir()] == ["result"]


def test_a_folder_that_cannot_be_written_leaves_the_old_one(tmp_path, no_room):
    folder = tmp_path / "result"
    publish(folder, {"a": b"1"})
    with pytest.raises(StorageError, match="result must be readable and writable, but: file too large"):
        publish(folder, {"a": bytes(8192)})
    assert (folder / "a").read_bytes() == b"1"
    publish(folder, {"a": b"2"})
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_what_is_packed_is_unpacked_and_written_into_a_new_folder_alone(tmp_path):
    files = {"best.py": b"print()", "best.safetensors": bytes(9)}
    pack(tmp_path / "result.zip", files)
    assert unpack(tmp_path / "result.zip") == files
    assert [path.name for path in tmp_path.iterdir()] == ["result.zip"]
    folder = tmp_path / "models" / "mine"
    assert not holds(folder, files)
    write_new(folder, files)
    assert holds(folder, files)
    with pytest.raises(SettingsError, match=r"mine: expected a new or empty folder, found other files in it; name"):
        write_new(folder, files)
    with pytest.raises(SettingsError, match=r"zip: expected a new or empty folder, found a file; name another one"):
        write_new(tmp_path / "result.zip", files)


def test_a_packed_result_that_is_damaged_is_told_in_a_line(tmp_path):
    (tmp_path / "result.zip").write_bytes(b"rubbish")
    with pytest.raises(RunFolderError, match=r"result.zip is damaged: .*; remove it and run the search again"):
        unpack(tmp_path / "result.zip")
