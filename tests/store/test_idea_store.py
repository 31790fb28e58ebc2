from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fairnad.attributes import AttributeTree, Granularity, Tag, Target
from fairnad.errors import IdeaIndexError, StorageError
from fairnad.idea_filter import IdeaFilter
from fairnad.ideas import Idea, IdeaKind, Source
from fairnad.ports import IdeaStore
from fairnad.sampling import Fairness, draw_key, fairness_key
from store.idea_files import read_ideas
from store.idea_store import ChromaIdeaStore
from tools.embedder import HashedEmbedder

GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
RELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "relu")
POOLING = Tag(Target.EFFICIENCY, Granularity.BLOCK, "efficient block structures", "pooling-based blocks")
WIDTH = Tag(Target.EFFICIENCY, Granularity.NETWORK, "network-wise scaling")

FEW = [
    Idea("Replace every ReLU by GELU.", tag=GELU, source=Source("GELUs", 2016)),
    Idea("Square the ReLU in the last stage.", tag=RELU, source=Source("Squares", 2021)),
    Idea("Make the slope of ReLU learnable per channel.", tag=RELU, source=Source("Slopes", 2015)),
    Idea("Use a capped ReLU in narrow layers.", tag=RELU),
    Idea("Mix tokens with average pooling instead of attention.", tag=POOLING, source=Source("Pools", 2021)),
    Idea("Widen all channels by a tenth and drop one block.", tag=WIDTH),
]


class CountingEmbedder(HashedEmbedder):
    """Counts the texts it was asked for, which tells when an index is built."""

    num_texts = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.num_texts += len(texts)
        return super().__call__(texts)


@pytest.fixture
def embed() -> CountingEmbedder:
    return CountingEmbedder(64)


@pytest.fixture
def store(tmp_path: Path, embed: CountingEmbedder) -> Iterator[ChromaIdeaStore]:
    opened = ChromaIdeaStore.open(tmp_path / "ideas", FEW, embed)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory, tree: AttributeTree, root: Path) -> Iterator[ChromaIdeaStore]:
    """The vision pack's ideas."""
    ideas = read_ideas(root / "prompts/vision/ideas.jsonl", tree)
    opened = ChromaIdeaStore.open(tmp_path_factory.mktemp("starter"), ideas, HashedEmbedder())
    yield opened
    opened.close()


def texts(found: Sequence[tuple[Idea, float]]) -> list[str]:
    return [idea.text for idea, _ in found]


def test_ideas_are_counted_by_the_whole_path_of_their_tag(store: ChromaIdeaStore) -> None:
    port: IdeaStore = store
    activation = ("performance", "operation", "activation")
    assert len(store) == 6
    assert port.counts(Fairness.NONE) == {(): 6}
    assert port.counts(Fairness.GRANULARITY) == {
        ("performance", "operation"): 4,
        ("efficiency", "block and connectivity"): 1,
        ("efficiency", "network"): 1,
    }
    assert port.counts(Fairness.MAIN)[activation] == 4
    assert port.counts(Fairness.SUB)[(*activation, "gelu")] == 1
    assert port.counts(Fairness.SUB)[("efficiency", "network", "network-wise scaling", "")] == 1


def test_an_idea_is_drawn_from_its_key_alone(store: ChromaIdeaStore) -> None:
    generator = np.random.default_rng(0)
    key = fairness_key(RELU, Fairness.SUB)
    assert {store.draw(Fairness.SUB, key, generator).tag for _ in range(50)} == {RELU}


def test_a_key_without_ideas_is_refused(store: ChromaIdeaStore) -> None:
    with pytest.raises(ValueError, match="no idea has the key 'performance / network' at level granularity"):
        store.draw(Fairness.GRANULARITY, ("performance", "network"), np.random.default_rng(0))


def chi_square(counts: Sequence[int]) -> float:
    expected = sum(counts) / len(counts)
    return sum((count - expected) ** 2 / expected for count in counts)


def test_categories_and_the_ideas_within_one_are_drawn_uniformly(starter: ChromaIdeaStore) -> None:
    generator = np.random.default_rng(20)
    drawn = Counter(
        starter.draw(Fairness.MAIN, draw_key(starter.counts(Fairness.MAIN), generator), generator)
        for _ in range(15 * 1000)
    )
    by_category: dict[object, list[int]] = {}
    for idea, count in drawn.items():
        by_category.setdefault(idea.tag and idea.tag.category, []).append(count)
    assert len(drawn) == len(starter)
    assert chi_square([sum(counts) for counts in by_category.values()]) < 36.1  # 99.9% of 14 degrees of freedom
    for counts in by_category.values():
        freedom = len(counts) - 1
        assert chi_square(counts) < freedom + 4 * np.sqrt(2 * freedom)


def test_every_idea_is_equally_likely_without_fairness(starter: ChromaIdeaStore) -> None:
    generator = np.random.default_rng(21)
    drawn = Counter(starter.draw(Fairness.NONE, (), generator) for _ in range(len(starter) * 100))
    freedom = len(starter) - 1
    assert len(drawn) == len(starter)
    assert chi_square(list(drawn.values())) < freedom + 4 * np.sqrt(2 * freedom)


def test_the_same_seed_draws_the_same_ideas_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    def draws(ideas: Sequence[Idea], embed: HashedEmbedder) -> list[Idea]:
        store = ChromaIdeaStore.open(tmp_path, ideas, embed)
        generator = np.random.default_rng(5)
        return [store.draw(Fairness.NONE, (), generator) for _ in range(40)]

    assert draws(FEW, HashedEmbedder(16)) == draws(FEW[::-1], HashedEmbedder(32))


def test_a_draw_takes_less_than_two_milliseconds(starter: ChromaIdeaStore) -> None:
    generator = np.random.default_rng(0)
    key = fairness_key(GELU, Fairness.MAIN)
    durations = []
    for _ in range(200):
        begin = time.perf_counter()
        starter.draw(Fairness.MAIN, key, generator)
        durations.append(time.perf_counter() - begin)
    assert sorted(durations)[100] < 0.002


def test_the_closest_ideas_come_first_with_their_cosine_similarity(
    store: ChromaIdeaStore, embed: CountingEmbedder
) -> None:
    found = store.search("Replace every ReLU by GELU.", limit=3)
    assert found[0] == (FEW[0], pytest.approx(1, abs=1e-5))
    similarities = [similarity for _, similarity in found]
    assert similarities == sorted(similarities, reverse=True)
    for idea, similarity in found:
        query, vector = embed(["Replace every ReLU by GELU.", idea.text])
        assert similarity == pytest.approx(float(query @ vector), abs=1e-5)


def test_a_search_finds_what_was_meant(starter: ChromaIdeaStore) -> None:
    questions = {
        "squeeze and excitation gate for channels": "channel attention",
        "attention inside small windows of the map": "windowed attention",
        "embed overlapping patches": "patch embedding",
        "drop-path with linearly rising probability": "stochastic depth",
        "inverted residual with depthwise expansion": "inverted residual block",
    }
    for question, sub in questions.items():
        assert sub in [idea.tag and idea.tag.sub for idea, _ in starter.search(question, limit=5)], question


def test_a_search_can_be_limited_to_tags_and_sources(store: ChromaIdeaStore) -> None:
    assert set(texts(store.search("ReLU", IdeaFilter(subs=("relu",))))) == {i.text for i in FEW if i.tag == RELU}
    in_networks = IdeaFilter(targets=(Target.EFFICIENCY,), granularities=(Granularity.NETWORK,))
    assert texts(store.search("ReLU", in_networks)) == [FEW[5].text]
    assert texts(store.search("ReLU", IdeaFilter(mains=("activation",), since=2021, until=2021))) == [FEW[1].text]
    assert texts(store.search("ReLU", IdeaFilter(title="pool"))) == [FEW[4].text]
    assert store.search("ReLU", IdeaFilter(targets=(Target.EFFICIENCY,), mains=("activation",))) == []
    assert len(store.search("ReLU", limit=100)) == len(FEW)
    assert len(store.search("", limit=2)) == 2


names_of_tags = st.lists(st.sampled_from(["activation", "ReLU", "gelu", "efficient block structures", "no such"]))
years = st.none() | st.integers(2014, 2022)
filters = st.builds(
    IdeaFilter,
    targets=st.lists(st.sampled_from(Target), max_size=1).map(tuple),
    granularities=st.lists(st.sampled_from(Granularity), max_size=2).map(tuple),
    mains=names_of_tags.map(tuple),
    subs=names_of_tags.map(tuple),
    without=st.lists(st.sampled_from(["gelu", "Activation", "relu"]), max_size=1).map(tuple),
    since=years,
    until=years,
    title=st.sampled_from(["", "s", "pools"]),
)


@given(asked=filters)
def test_what_passes_a_filter_is_found_and_nothing_else(asked: IdeaFilter) -> None:
    store = ChromaIdeaStore(Path("nowhere"), FEW, HashedEmbedder(16), read_only=True)
    passing = {idea for idea in FEW if asked.passes(idea)}
    assert set(store.find(asked)) == passing
    assert {idea for idea, _ in store.search("a network", asked, limit=len(FEW))} == passing


def test_neighbours_are_the_closest_without_the_idea_itself(store: ChromaIdeaStore) -> None:
    found = store.neighbours(FEW[1].idea_id, limit=2)
    assert found == [match for match in store.search(FEW[1].text, limit=3) if match[0] != FEW[1]][:2]
    assert texts(store.neighbours(FEW[1].idea_id, IdeaFilter(subs=("relu",)))) == texts(
        [match for match in store.search(FEW[1].text, IdeaFilter(subs=("relu",))) if match[0] != FEW[1]]
    )
    with pytest.raises(LookupError, match="there is no idea 0000"):
        store.neighbours("0000")


def test_an_idea_is_got_by_its_id_or_the_beginning_of_it(store: ChromaIdeaStore) -> None:
    idea_id = FEW[2].idea_id
    assert store.get(idea_id) == store.get(idea_id[:8]) == FEW[2]
    assert store.get("") is store.get("no such id") is None


def many(number: int) -> list[Idea]:
    return [Idea(f"Use variant {i} of the block.", tag=RELU, source=Source(year=2000 + i % 20)) for i in range(number)]


def test_chroma_and_the_exact_comparison_agree_where_there_are_many(
    tmp_path: Path, embed: CountingEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ideas = many(300)
    exact = ChromaIdeaStore.open(tmp_path, ideas, embed)
    monkeypatch.setattr("store.idea_store.EXACT_UP_TO", 100)
    by_chroma = ChromaIdeaStore.open(tmp_path, ideas, embed)
    found = by_chroma.search(ideas[7].text, limit=5)
    monkeypatch.undo()
    expected = exact.search(ideas[7].text, limit=5)
    assert found[0][0] == expected[0][0] == ideas[7]
    assert [similarity for _, similarity in found] == pytest.approx([value for _, value in expected], abs=1e-3)
    by_chroma.close()


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.parametrize("exact_up_to", [0, 5000])
def test_reading_changes_nothing_on_disk_and_leaves_nothing_behind(
    tmp_path: Path, embed: CountingEmbedder, exact_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.idea_store.EXACT_UP_TO", exact_up_to)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    folder = tmp_path / "ideas"
    ChromaIdeaStore.open(folder, FEW, embed)
    before = contents(folder)
    store = ChromaIdeaStore(folder, FEW, embed, read_only=True)
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    assert contents(folder) == before
    store.close()
    assert contents(folder) == before
    assert not list((tmp_path / "temporary").iterdir())
    with pytest.raises(ValueError, match="open for reading builds no index"):
        store.ensure_index(anew=True)


@pytest.mark.parametrize("exact_up_to", [0, 5000])
def test_without_an_index_a_store_that_only_reads_makes_its_vectors_once_and_writes_nothing(
    tmp_path: Path, embed: CountingEmbedder, exact_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.idea_store.EXACT_UP_TO", exact_up_to)
    store = ChromaIdeaStore(tmp_path / "ideas", FEW, embed, read_only=True)
    for _ in range(2):
        assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    assert embed.num_texts == len(FEW) + 2
    assert not (tmp_path / "ideas").exists()
    assert not store.is_indexed()


def test_an_index_can_be_built_anew(store: ChromaIdeaStore, embed: CountingEmbedder) -> None:
    store.search("ReLU")
    store.ensure_index(anew=True)
    assert embed.num_texts == 2 * len(FEW) + 1
    assert store.is_indexed()
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]


def test_a_model_that_gives_vectors_of_another_length_is_named(tmp_path: Path) -> None:
    class Changing(HashedEmbedder):
        name = "changing"

    ChromaIdeaStore.open(tmp_path, FEW, Changing(64))
    store = ChromaIdeaStore(tmp_path, FEW, Changing(32), read_only=True)
    with pytest.raises(IdeaIndexError, match="holds vectors of 64 numbers, changing now gives 32: build it anew"):
        store.search("ReLU")


def test_a_limit_below_1_is_refused(store: ChromaIdeaStore) -> None:
    with pytest.raises(ValueError, match="expected a limit of at least 1, found 0"):
        store.search("ReLU", limit=0)


def test_a_store_without_ideas_finds_nothing(tmp_path: Path, embed: CountingEmbedder) -> None:
    store = ChromaIdeaStore.open(tmp_path, [], embed)
    assert (len(store), store.counts(Fairness.MAIN), store.search("ReLU")) == (0, {}, [])


def test_ideas_that_cannot_be_told_apart_or_have_no_tag_are_refused(tmp_path: Path, embed: CountingEmbedder) -> None:
    with pytest.raises(ValueError, match="expected distinct ideas, found 1 twice"):
        ChromaIdeaStore.open(tmp_path, [*FEW, FEW[2]], embed)
    with pytest.raises(ValueError, match=r"expected ideas with a tag, found none on 'Widen it\.'"):
        ChromaIdeaStore.open(tmp_path, [Idea("Widen it.", IdeaKind.UPSCALE)], embed)


def test_an_index_is_built_once_and_opened_afterwards(tmp_path: Path, embed: CountingEmbedder) -> None:
    for _ in range(3):
        store = ChromaIdeaStore.open(tmp_path, FEW, embed)
        assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
        store.close()
        store.close()
    assert embed.num_texts == len(FEW) + 3


def test_an_index_of_other_ideas_or_of_another_embedder_is_built_again(tmp_path: Path, embed: CountingEmbedder) -> None:
    ChromaIdeaStore.open(tmp_path, FEW, embed)
    renamed = [*FEW[1:], Idea(FEW[0].text, tag=GELU, source=Source("Another title"))]
    store = ChromaIdeaStore.open(tmp_path, renamed, embed)
    assert embed.num_texts == 2 * len(FEW)
    assert len(store.search("GELU", IdeaFilter(title="Another title"))) == 1
    store.close()
    wider = CountingEmbedder(128)
    assert len(ChromaIdeaStore.open(tmp_path, renamed, wider)) == len(FEW)
    assert wider.num_texts == len(FEW)


def test_a_store_whose_index_was_replaced_by_another_still_finds_its_own(tmp_path: Path) -> None:
    mine = ChromaIdeaStore.open(tmp_path, FEW[:3], HashedEmbedder(64))
    others = ChromaIdeaStore.open(tmp_path, FEW[3:], HashedEmbedder(32))
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
    ChromaIdeaStore.open(tmp_path, FEW, embed)
    damage(tmp_path, how)
    store = ChromaIdeaStore.open(tmp_path, FEW, embed)
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    store.close()
    assert embed.num_texts == 2 * len(FEW) + 1


def test_an_index_damaged_after_opening_is_built_again_before_it_is_searched(
    tmp_path: Path, embed: CountingEmbedder
) -> None:
    store = ChromaIdeaStore.open(tmp_path, FEW, embed)
    damage(tmp_path, "torn vectors")
    assert texts(store.search("average pooling", limit=1)) == [FEW[4].text]
    store.close()


OPENER = """
import sys, tempfile
from pathlib import Path
import store.idea_store
from fairnad.attributes import Granularity, Tag, Target
from fairnad.ideas import Idea
from store.idea_store import ChromaIdeaStore
from tools.embedder import HashedEmbedder

class Embedder(HashedEmbedder):
    def __call__(self, texts):
        if len(texts) > 1 and len(sys.argv) > 2:
            print("building", flush=True)
            sys.stdin.readline()
        return super().__call__(texts)

store.idea_store.EXACT_UP_TO = 100
tempfile.tempdir = str(Path(sys.argv[1]).parent)
tag = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
ideas = [Idea(f"Use variant {i} of the block.", tag=tag) for i in range(300)]
store = ChromaIdeaStore.open(Path(sys.argv[1]), ideas, Embedder(64))
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
    assert names(tmp_path / "ideas") == ["index", "lock"]
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
    assert names(folder) == ["index", "lock"]
    assert names(tmp_path) == ["ideas"]


def test_threads_can_search_and_draw_at_once(starter: ChromaIdeaStore, tmp_path: Path) -> None:
    store = ChromaIdeaStore.open(tmp_path, FEW, HashedEmbedder(64))
    ready = threading.Barrier(6)

    def work(thread: int) -> list[str]:
        ready.wait()
        return texts(store.search(FEW[thread].text, limit=1))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [[idea.text] for idea in FEW]
    store.close()


@pytest.mark.parametrize("num_bytes", [0, 20_000, 100_000, 150_000])
def test_a_full_disk_is_one_line(
    tmp_path: Path, embed: CountingEmbedder, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.idea_store.EXACT_UP_TO", 0)
    ChromaIdeaStore.open(tmp_path / "warm", FEW, embed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        with pytest.raises(StorageError, match="must be readable and writable, but: "):
            ChromaIdeaStore.open(tmp_path / "full", FEW, embed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    store = ChromaIdeaStore.open(tmp_path / "full", FEW, embed)
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
        ChromaIdeaStore.open(tmp_path / "file", FEW, embed)


def test_opening_an_index_that_is_there_and_drawing_needs_no_chroma(tmp_path: Path, root: Path) -> None:
    ask = """
store.draw(Fairness.NONE, (), numpy.random.default_rng(0))
print([name for name in ("chromadb", "torch", "sklearn") if name in sys.modules])
"""
    program = "import numpy\nfrom fairnad.sampling import Fairness\n" + OPENER + ask
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
