"""Speed and accuracy of the idea store: building, fair sampling, filtered search, recall.

    python -m benchmarks.idea_store                     15,323 made-up ideas, as many as the paper's base has
    python -m benchmarks.idea_store --ideas 2000        fewer
    python -m benchmarks.idea_store --vectors 50000     also with that many random vectors

Times are medians; compare them within one run. Processor time is printed beside the wall clock's, since the machine may
be busy. The texts consist of words of the pack's ideas, spread over its categories by a Zipf law.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnad.ideas.attribute_tree import Tag
from fairnad.ideas.idea import MAX_IDEA_WORDS, Idea, Source
from fairnad.ideas.idea_filter import IdeaFilter
from fairnad.search.sampling import Fairness, draw_key
from prompts.loader import load_pack
from store.idea_files import read_ideas, write_ideas
from store.idea_store import ChromaIdeaStore, Embedder
from tools.embedder import HashedEmbedder

PAPERS_IDEAS = 15_323
_QUERIES = 40
_DIMENSION = 256


class RandomEmbedder:
    """Random vectors, to time the store alone."""

    name = "random"

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text, normally distributed and a function of the text."""
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        rows = [np.random.default_rng(seed).standard_normal(_DIMENSION, dtype=np.float32) for seed in seeds]
        return np.array([row / np.linalg.norm(row) for row in rows])


def made_ideas(number: int) -> list[Idea]:
    """``number`` distinct ideas over all categories of the vision pack, years 2013 to 2026."""
    pack = load_pack("vision")
    starter = read_ideas(pack.ideas_file, pack.attribute_tree)
    words = sorted({word for idea in starter for word in idea.text.split()})
    tags: list[Tag] = list(pack.attribute_tree.tags())
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(1, len(tags) + 1)
    chosen = generator.choice(len(tags), number, p=weights / weights.sum())
    lengths = generator.integers(15, MAX_IDEA_WORDS - 1, number)
    years = generator.integers(2013, 2027, number)
    ideas = []
    for place in range(number):
        text = " ".join(generator.choice(words, lengths[place]))
        source = Source(f"Paper {place // 7}", int(years[place]), f"https://example.org/{place // 7}")
        ideas.append(Idea(f"{text} {place}", tag=tags[chosen[place]], source=source))
    return ideas


def timed(work: Callable[[], object], repeats: int = _QUERIES) -> str:
    """Median and 95th percentile of the wall-clock time, and median processor time; the first run is left out."""
    work()
    durations, efforts = [], []
    for _ in range(repeats):
        began, began_working = time.perf_counter(), time.process_time()
        work()
        durations.append((time.perf_counter() - began) * 1000)
        efforts.append((time.process_time() - began_working) * 1000)
    wall = f"{np.median(durations):9.3f} ms   p95 {np.quantile(durations, 0.95):9.3f} ms"
    return f"{wall}   processor {np.median(efforts):9.3f} ms"


def measure(ideas: Sequence[Idea], embed: Embedder, folder: Path) -> None:
    """Print how long each operation takes, and how many of the ten closest ideas a search finds."""
    began, began_working = time.perf_counter(), time.process_time()
    store = ChromaIdeaStore(folder / "ideas", ideas, embed)
    store.ensure_index()
    seconds, effort = time.perf_counter() - began, time.process_time() - began_working
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(
        f"{len(ideas):,} ideas, vectors by {embed.name}: index built in {seconds:.1f} s "
        f"({effort:.1f} s of processor time), {size / 1e6:.0f} MB"
    )
    generator = np.random.default_rng(2)
    fair = Fairness.MAIN
    by_category = store.counts(fair)
    largest = max(by_category, key=lambda key: by_category[key])[-1]
    main, year, both = IdeaFilter(mains=(largest,)), IdeaFilter(since=2020), IdeaFilter(mains=(largest,), since=2020)

    def ask(asked: IdeaFilter) -> Callable[[], object]:
        return lambda: store.search(ideas[int(generator.integers(len(ideas)))].text, asked)

    rows: list[tuple[str, Callable[[], object]]] = [
        ("fair sampling", lambda: store.draw(fair, draw_key(store.counts(fair), generator), generator)),
        ("search, every idea", ask(IdeaFilter())),
        (f"search, main category ({len(store.find(main)):,} ideas)", ask(main)),
        (f"search, from 2020 on ({len(store.find(year)):,} ideas)", ask(year)),
        (f"search, both ({len(store.find(both)):,} ideas)", ask(both)),
        ("neighbours", lambda: store.neighbours(ideas[int(generator.integers(len(ideas)))].idea_id)),
        ("exact count of both", lambda: len(store.find(both))),
    ]
    for name, work in rows:
        print(f"  {name:<46}{timed(work)}")
    vectors = embed([idea.text for idea in ideas])
    for name, asked in (("every idea", IdeaFilter()), ("main category", main), ("from 2020 on", year)):
        print(f"  {recall(store, ideas, vectors, asked):.0%} of the ten closest found, {name}")
    store.close()
    print(f"  memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f} MB")


def recall(store: ChromaIdeaStore, ideas: Sequence[Idea], vectors: NDArray[np.float32], asked: IdeaFilter) -> float:
    """The share of the ten closest ideas that are among the ten :meth:`ChromaIdeaStore.neighbours` finds."""
    passing = np.array([asked.passes(idea) for idea in ideas])
    num_found = 0
    for row in np.random.default_rng(3).choice(len(ideas), _QUERIES):
        similarities = np.where(passing, vectors @ vectors[row], -np.inf)
        similarities[row] = -np.inf
        closest = {ideas[place].idea_id for place in np.argsort(-similarities)[:10]}
        found = {idea.idea_id for idea, _ in store.neighbours(ideas[row].idea_id, asked)}
        num_found += len(closest & found)
    return num_found / (10 * _QUERIES)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idea_store", description=__doc__.split("\n")[0])
    parser.add_argument("--ideas", type=int, default=PAPERS_IDEAS, help="made-up ideas (default: %(default)s)")
    parser.add_argument("--vectors", type=int, default=0, help="measure so many random vectors as well")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ideas = made_ideas(options.ideas)
        began = time.perf_counter()
        write_ideas(folder / "ideas.jsonl", ideas)
        exported = time.perf_counter()
        read_ideas(folder / "ideas.jsonl", load_pack("vision").attribute_tree)
        print(f"export {exported - began:.2f} s, import {time.perf_counter() - exported:.2f} s")
        measure(ideas, HashedEmbedder(_DIMENSION), folder / "hashed")
        if options.vectors:
            measure(made_ideas(options.vectors), RandomEmbedder(), folder / "random")


if __name__ == "__main__":
    main()
