"""``python -m benchmarks.paper_filter PAPERS.jsonl``: the built-in filter against labels by hand, beside keywords.

The labels name papers by the field ``n`` of their file. ``--fit`` prints the weights that the tuning half gives,
which are those of the pack's lexicon; nothing is ever fitted on the held-back half. ``--compare`` prints the areas of
scores that were not taken, on the tuning half, and how often the tagger finds the tag of an idea it has not seen.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agents.builtin.paper_reader import FEATURES, features, score
from agents.builtin.tagger import Tagger
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from prompts.knowledge_pack import KnowledgePack, load_knowledge_pack
from prompts.lexicon import Lexicon
from store.idea_files import read_ideas
from tools.embedder import HashedEmbedder

HOME = Path(__file__).parent
PARTS = ("tuning", "held_back")
_LINK_WORDS = {"and", "for", "of", "before", "based", "wise"}
_NUM_RESAMPLES = 10_000

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def read_labels(part: str) -> dict[int, bool]:
    """Whether each labelled paper is kept, by its number."""
    with (HOME / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        return {int(row["paper"]): row["label"] == "keep" for row in csv.DictReader(file)}


def keyword_baseline(tree: AttributeTree) -> Callable[[str], float]:
    """Counts the words of a text that occur in the names of the attribute tree, plurals included."""
    names = {category.main for category in tree.categories} | {sub for subs in tree.categories.values() for sub in subs}
    known = {word.removesuffix("s") for name in names for word in _words(name)} - _LINK_WORDS
    return lambda text: float(sum(word.removesuffix("s") in known for word in _words(text)))


def area_under_curve(scores: Scores, labels: Labels) -> float:
    """The share of (keep, discard) pairs in which the kept paper scores higher; ties count half."""
    kept, discarded = scores[labels], scores[~labels]
    wins = (kept[:, None] > discarded).sum() + 0.5 * (kept[:, None] == discarded).sum()
    return float(wins / (len(kept) * len(discarded)))


def difference_interval(ours: Scores, theirs: Scores, labels: Labels) -> tuple[float, float]:
    """The 95 % bootstrap interval of how much larger the first area is, resampling kept and discarded apart."""
    generator = np.random.default_rng(0)
    kept, discarded = np.flatnonzero(labels), np.flatnonzero(~labels)
    differences = []
    for _ in range(_NUM_RESAMPLES):
        drawn = np.concatenate([generator.choice(kept, len(kept)), generator.choice(discarded, len(discarded))])
        of = labels[drawn]
        differences.append(area_under_curve(ours[drawn], of) - area_under_curve(theirs[drawn], of))
    low, high = np.quantile(differences, [0.025, 0.975])
    return float(low), float(high)


def fit(papers: Sequence[dict[str, str]], labels: Labels, lexicon: Lexicon) -> dict[str, float]:
    """The weights of a logistic regression over the features, regularised on their common scale."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = np.array([astuple(features(paper["title"], paper["abstract"], lexicon)) for paper in papers])
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(C=0.3).fit(scaler.transform(rows), labels)
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (weights * scaler.mean_).sum())
    return {"bias": bias, **dict(zip(FEATURES, map(float, weights), strict=True))}


def embedding_scores(papers: Sequence[dict[str, str]], ideas: Sequence[str], embed: Embed) -> Scores:
    """For each paper the mean of the three sentences that are most like an idea of the pack."""
    known = embed(ideas)
    found = []
    for paper in papers:
        sentences = re.split(r"(?<=[.!?])\s+", f"{paper['title']}. {paper['abstract']}")
        likeness = (embed(sentences) @ known.T).max(axis=1)
        found.append(float(np.sort(likeness)[-3:].mean()))
    return np.array(found)


def tfidf_embedding(texts: Sequence[str]) -> Embed:
    """Vectors of words and pairs of words, weighed by how rare they are in ``texts``."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True, ngram_range=(1, 2), min_df=2).fit(texts)
    return lambda given: np.asarray(vectorizer.transform(given).todense(), dtype=np.float32)


def lsa_embedding(texts: Sequence[str], dimension: int = 200) -> Embed:
    """The same in fewer dimensions, those of latent semantic analysis of ``texts``."""
    from sklearn.decomposition import TruncatedSVD

    words = tfidf_embedding(texts)
    reduced = TruncatedSVD(dimension, random_state=0).fit(words(texts))

    def embed(given: Sequence[str]) -> NDArray[np.float32]:
        rows = reduced.transform(words(given))
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)

    return embed


def tag_accuracy(
    ideas: Sequence[Idea], tree: AttributeTree, lexicon: Lexicon, num_parts: int = 10
) -> tuple[float, float]:
    """The shares of ideas whose main category, and whole tag, is found by a tagger that has not seen them."""
    right_main = right_tag = 0
    for part in range(num_parts):
        tagger = Tagger(tree, lexicon.signs, [idea for number, idea in enumerate(ideas) if number % num_parts != part])
        for idea in ideas[part::num_parts]:
            found = tagger.tag(idea.text)
            right_main += found is not None and idea.tag is not None and found.category == idea.tag.category
            right_tag += found == idea.tag
    return right_main / len(ideas), right_tag / len(ideas)


def compare(papers: Sequence[dict[str, str]], labels: Labels, corpus: Sequence[str], knowledge: KnowledgePack) -> None:
    """Print what else was tried."""
    tree = knowledge.pack.attribute_tree
    ideas = read_ideas(knowledge.pack.ideas_file, tree)
    texts = [idea.text for idea in ideas]
    embeddings: dict[str, Embed] = {
        "hashed words and letters": HashedEmbedder(),
        "TF-IDF of the corpus": tfidf_embedding([*corpus, *texts]),
        "LSA of the corpus": lsa_embedding([*corpus, *texts]),
    }
    for name, embed in embeddings.items():
        area = area_under_curve(embedding_scores(papers, texts, embed), labels)
        print(f"likeness to the pack's ideas, {name}: AUC {area:.3f}")
    for number, name in enumerate(FEATURES):
        rows = [astuple(features(paper["title"], paper["abstract"], knowledge.lexicon))[number] for paper in papers]
        print(f"feature {name} alone: AUC {area_under_curve(np.array(rows), labels):.3f}")
    main_share, tag_share = tag_accuracy(ideas, tree, knowledge.lexicon)
    print(f"tagger on {len(ideas)} ideas it has not seen: main category {main_share:.2f}, whole tag {tag_share:.2f}")


def report(part: str, ours: Scores, theirs: Scores, labels: Labels, keep_above: float) -> None:
    """Print a part's figures, ours beside the baseline's at the cut where it keeps as many papers."""
    kept = ours >= keep_above
    cut = np.sort(theirs)[::-1][max(int(kept.sum()) - 1, 0)]
    areas = area_under_curve(ours, labels), area_under_curve(theirs, labels)
    low, high = difference_interval(ours, theirs, labels)
    print(f"{part}: {len(labels)} papers, {int(labels.sum())} of them keep")
    for name, chosen, area in (("filter", kept, areas[0]), ("keywords", theirs >= cut, areas[1])):
        precision, recall = labels[chosen].mean(), chosen[labels].mean()
        print(f"  {name:<9} keeps {chosen.mean():.0%}  precision {precision:.2f}  recall {recall:.2f}  AUC {area:.3f}")
    print(f"  AUC difference {areas[0] - areas[1]:+.3f}, 95 % bootstrap interval {low:+.3f} to {high:+.3f}")


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper_filter", description=main.__doc__)
    parser.add_argument("papers", type=Path, help="JSON lines with n, title and abstract")
    parser.add_argument("--compare", action="store_true", help="print what else was tried, and end")
    parser.add_argument("--fit", action="store_true", help="print the weights the tuning half gives, and end")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.papers.read_text(encoding="utf-8").splitlines()]
    papers = {row["n"]: row for row in rows if row.get("abstract")}
    knowledge = load_knowledge_pack("vision")
    labels = {part: read_labels(part) for part in PARTS}
    chosen, truth = [papers[number] for number in labels["tuning"]], np.array(list(labels["tuning"].values()))
    if options.compare:
        corpus = [f"{paper['title']}. {paper['abstract']}" for paper in papers.values()]
        compare(chosen, truth, corpus, knowledge)
        return
    if options.fit:
        weights = fit(chosen, truth, knowledge.lexicon)
        print("\n".join(f"{name}: {weight:.2f}" for name, weight in weights.items()))
        return
    began = time.perf_counter()
    scores = {
        number: score(features(paper["title"], paper["abstract"], knowledge.lexicon), knowledge.lexicon)
        for number, paper in papers.items()
    }
    keep_above = knowledge.lexicon.keep_above
    share = np.mean([value >= keep_above for value in scores.values()])
    print(f"{len(papers)} papers scored in {time.perf_counter() - began:.1f} s; {share:.0%} are kept")
    count = keyword_baseline(knowledge.pack.attribute_tree)
    for part, of in (*labels.items(), ("all labels", labels["tuning"] | labels["held_back"])):
        ours = np.array([scores[number] for number in of])
        theirs = np.array([count(f"{papers[number]['title']}. {papers[number]['abstract']}") for number in of])
        report(part, ours, theirs, np.array(list(of.values())), keep_above)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


if __name__ == "__main__":
    main()
