"""The index of an idea store on disk: building, damage, several processes, a full disk."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairnad.errors import IdeaIndexError, StorageError
from fairnad.ideas.idea import Idea, Source
from fairnad.ideas.idea_filter import IdeaFilter
from store.idea_store import ChromaIdeaStore
from tests.store.few_ideas import FEW, GELU, CountingEmbedder, open_store, texts
from tools.embedder import HashedEmbedder


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_a_search_in_a_finished_index_changes_nothing_on_disk_and_leaves_nothing_behind(
    tmp_path: Path, embed: CountingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = tmp_path / "ideas"
    open_store(folder, FEW, embed)
    before = contents(folder)
    store = ChromaIdeaStore(folder, FEW, embed)
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    assert contents(folder) == before
    store.close()
    assert contents(folder) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_an_index_can_be_rebuilt(store: ChromaIdeaStore, embed: CountingEmbedder) -> None:
    store.search("ReLU")
    store.ensure_index(rebuild=True)
    assert embed.num_texts == 2 * len(FEW) + 1
    assert store.is_indexed()
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]


def test_a_model_that_gives_vectors_of_another_length_is_named(tmp_path: Path) -> None:
    class Changing(HashedEmbedder):
        name = "changing"

    open_store(tmp_path, FEW, Changing(64))
    store = ChromaIdeaStore(tmp_path, FEW, Changing(32))
    message = r"changing no longer fits the index \(collection expecting .* dimension of 64, got 32\): rebuild it with"
    with pytest.raises(IdeaIndexError, match=message):
        store.search("ReLU")


def test_an_index_is_built_once_and_opened_afterwards(tmp_path: Path, embed: CountingEmbedder) -> None:
    for _ in range(3):
        store = open_store(tmp_path, FEW, embed)
        assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
        store.close()
        store.close()
    assert embed.num_texts == len(FEW) + 3


def test_an_index_of_other_ideas_or_of_another_embedder_is_built_again(tmp_path: Path, embed: CountingEmbedder) -> None:
    open_store(tmp_path, FEW, embed)
    renamed = [*FEW[1:], Idea(FEW[0].text, tag=GELU, source=Source("Another title"))]
    store = open_store(tmp_path, renamed, embed)
    assert embed.num_texts == 2 * len(FEW)
    assert len(store.search("GELU", IdeaFilter(title="Another title"))) == 1
    store.close()
    wider = CountingEmbedder(128)
    assert len(open_store(tmp_path, renamed, wider)) == len(FEW)
    assert wider.num_texts == len(FEW)


def test_a_store_whose_index_was_replaced_by_another_still_finds_its_own(tmp_path: Path) -> None:
    mine = open_store(tmp_path, FEW[:3], HashedEmbedder(64))
    others = open_store(tmp_path, FEW[3:], HashedEmbedder(32))
    assert texts(mine.search("GELU", limit=1)) == [FEW[0].text]
    assert texts(others.search("pooling", limit=1)) == [FEW[4].text]
    mine.close()
    others.close()


def damage(folder: Path, how: str) -> None:
    files = sorted(path for path in (folder / "index").rglob("*") if path.is_file())
    vectors = next(path for path in files if path.name == "data_level0.bin")
    database = next(path for path in files if path.name == "chroma.sqlite3")
    rng = np.random.default_rng(0)
    match how:
        case "torn vectors":  # what makes Chroma end the process with a segmentation fault
            vectors.write_bytes(rng.bytes(vectors.stat().st_size))
        case "cut database":
            database.write_bytes(database.read_bytes()[:5000])
        case "lost database":
            database.unlink()
        case "lost vectors":
            shutil.rmtree(vectors.parent)
        case "half a seal":
            (folder / "index" / "seal.json").write_bytes(b'{"label": "\xff')
        case "no seal":
            (folder / "index" / "seal.json").unlink()
        case "interrupted building":
            (folder / "index").rename(folder / "partial-old")
            (folder / "partial-old" / "seal.json").unlink()


@pytest.mark.parametrize(
    "how",
    [
        "torn vectors",
        "cut database",
        "lost database",
        "lost vectors",
        "half a seal",
        "no seal",
        "interrupted building",
    ],
)
def test_a_damaged_index_is_built_again(tmp_path: Path, embed: CountingEmbedder, how: str) -> None:
    open_store(tmp_path, FEW, embed)
    damage(tmp_path, how)
    store = open_store(tmp_path, FEW, embed)
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    store.close()
    assert embed.num_texts == 2 * len(FEW) + 1


def test_an_index_damaged_after_opening_is_built_again_before_it_is_searched(
    tmp_path: Path, embed: CountingEmbedder
) -> None:
    store = open_store(tmp_path, FEW, embed)
    damage(tmp_path, "torn vectors")
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    store.close()


OPENER = """
import sys, tempfile
from pathlib import Path
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea
from store.idea_store import ChromaIdeaStore
from tools.embedder import HashedEmbedder

class Embedder(HashedEmbedder):
    def __call__(self, texts):
        if len(texts) > 1 and len(sys.argv) > 2:
            print("building", flush=True)
            sys.stdin.readline()
        return super().__call__(texts)

tempfile.tempdir = str(Path(sys.argv[1]).parent)
tag = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
ideas = [Idea(f"Use variant {i} of the block.", tag=tag) for i in range(300)]
store = ChromaIdeaStore(Path(sys.argv[1]), ideas, Embedder(64))
store.ensure_index()
"""

SEARCHER = (
    OPENER
    + """
for i in range(10):
    assert store.search(ideas[i].text, limit=1)[0][0] == ideas[i]
print("found", flush=True)
sys.stdin.read()
store.close()
"""
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_processes_that_open_one_folder_at_once_do_not_break_each_other(
    tmp_path: Path, start: Callable[..., Any]
) -> None:
    programs = [start(SEARCHER, tmp_path / "ideas") for _ in range(2)]
    assert [program.lines(1) for program in programs] == [["found"]] * 2
    assert [program.end() for program in programs] == [0, 0]
    assert names(tmp_path / "ideas") == ["index"]
    assert names(tmp_path) == ["ideas"]


def test_processes_killed_while_they_build_or_search_do_no_harm_and_leave_nothing(
    tmp_path: Path, start: Callable[..., Any]
) -> None:
    folder = tmp_path / "ideas"
    builder = start(SEARCHER, folder, "wait")
    assert builder.lines(1) == ["building"]
    builder.kill()
    assert len(list(folder.glob("partial-*"))) == 1
    searcher = start(SEARCHER, folder)
    assert searcher.lines(1) == ["found"]
    searcher.kill()
    assert len(list(tmp_path.glob("fairnad-ideas-*"))) == 1
    successor = start(SEARCHER, folder)
    assert successor.lines(1) == ["found"]
    assert successor.end() == 0
    assert names(folder) == ["index"]
    assert names(tmp_path) == ["ideas"]


@pytest.mark.parametrize("num_bytes", [0, 20_000, 100_000, 150_000])
def test_a_full_disk_is_one_line(tmp_path: Path, embed: CountingEmbedder, num_bytes: int) -> None:
    open_store(tmp_path / "warm", FEW, embed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        with pytest.raises(StorageError, match="must be readable and writable, but: "):
            open_store(tmp_path / "full", FEW, embed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store = open_store(tmp_path / "full", FEW, embed)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        with pytest.raises(StorageError, match="must be readable and writable, but: "):
            store.search("pooling", limit=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(store.search("pooling", limit=2)) == 2
    store.close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path, embed: CountingEmbedder) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file must be readable and writable, but: file exists"):
        open_store(tmp_path / "file", FEW, embed)


def test_opening_an_index_that_is_there_and_drawing_needs_no_chroma(tmp_path: Path, root: Path) -> None:
    ask = """
store.draw(Fairness.NONE, (), numpy.random.default_rng(0))
print([name for name in ("chromadb", "torch", "sklearn") if name in sys.modules])
"""
    program = "import numpy\nfrom fairnad.search.sampling import Fairness\n" + OPENER + ask
    done = [
        subprocess.run([sys.executable, "-c", program, tmp_path], cwd=root, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [process.stdout for process in done] == ["['chromadb', 'sklearn']\n", "[]\n"]


def test_nothing_is_sent_anywhere(store: ChromaIdeaStore) -> None:
    store.search("ReLU")
    from chromadb.api.shared_system_client import SharedSystemClient

    systems = SharedSystemClient._identifier_to_system.values()
    assert [system.settings.anonymized_telemetry for system in systems] == [False] * len(systems)
    assert len(systems) > 0
