from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnad.ideas.attribute_tree import Granularity, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.ports import IdeaStore
from fairnad.search.sampling import Fairness, draw_key, fairness_key
from store.idea_store import ChromaIdeaStore
from tests.store.few_ideas import FEW, GELU, RELU, CountingEmbedder, open_store, texts
from tools.embedder import HashedEmbedder


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
        store = open_store(tmp_path, ideas, embed)
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
    assert found[0][0] == FEW[0]
    assert found[0][1] == pytest.approx(1, abs=1e-5)
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


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaIdeaStore]:
    opened = open_store(tmp_path_factory.mktemp("few"), FEW, HashedEmbedder(16))
    yield opened
    opened.close()


@given(asked=filters)
def test_what_passes_a_filter_is_found_and_nothing_else(asked: IdeaFilter, few: ChromaIdeaStore) -> None:
    passing = {idea for idea in FEW if asked.passes(idea)}
    assert set(few.find(asked)) == passing
    assert {idea for idea, _ in few.search("a network", asked, limit=len(FEW))} == passing


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


def test_most_of_the_ten_closest_are_found_among_many(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(300)]
    ideas = [
        Idea(" ".join(generator.choice(words, 20)), tag=RELU, source=Source(year=2000 + i % 20)) for i in range(3000)
    ]
    embed = HashedEmbedder(64)
    store = open_store(tmp_path, ideas, embed)
    rows = [*store]
    vectors = embed([idea.text for idea in rows])
    num_found = 0
    for asked in (IdeaFilter(), IdeaFilter(since=2012)):
        passing = np.array([asked.passes(idea) for idea in rows])
        for row in generator.choice(len(ideas), 20):
            similarities = np.where(passing, vectors @ vectors[row], -1)
            closest = {rows[place] for place in np.argsort(-similarities)[:10]}
            found = store.search(rows[row].text, asked)
            assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)
            num_found += len(closest & {idea for idea, _ in found})
    assert num_found >= 0.9 * 400
    store.close()


def test_a_limit_below_1_is_refused(store: ChromaIdeaStore) -> None:
    with pytest.raises(ValueError, match="expected a limit of at least 1, found 0"):
        store.search("ReLU", limit=0)


def test_a_store_without_ideas_finds_nothing(tmp_path: Path, embed: CountingEmbedder) -> None:
    store = open_store(tmp_path, [], embed)
    assert (len(store), store.counts(Fairness.MAIN), store.search("ReLU")) == (0, {}, [])


def test_ideas_that_cannot_be_told_apart_or_have_no_tag_are_refused(tmp_path: Path, embed: CountingEmbedder) -> None:
    with pytest.raises(ValueError, match="expected distinct ideas, found 1 twice"):
        open_store(tmp_path, [*FEW, FEW[2]], embed)
    with pytest.raises(ValueError, match=r"expected ideas with a tag, found none on 'Widen it\.'"):
        open_store(tmp_path, [Idea("Widen it.", IdeaKind.UPSCALE)], embed)


def test_threads_can_search_and_draw_at_once(starter: ChromaIdeaStore, tmp_path: Path) -> None:
    store = open_store(tmp_path, FEW, HashedEmbedder(64))
    ready = threading.Barrier(6)

    def work(thread: int) -> list[str]:
        ready.wait()
        return texts(store.search(FEW[thread].text, limit=1))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [[idea.text] for idea in FEW]
    store.close()
