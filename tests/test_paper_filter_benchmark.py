"""The benchmark of the built-in filter: its labels, and what it says where the papers are at hand."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from benchmarks.paper_filter.__main__ import area_under_curve, difference_interval, keyword_baseline, read_labels
from prompts.loader import load_pack
from tests.published_data import PUBLISHED, needs_published

PAPERS = PUBLISHED / "papers" / "cvpr2023_main.jsonl"


def test_three_hundred_papers_are_labelled_half_of_them_held_back() -> None:
    tuning, held_back = read_labels("tuning"), read_labels("held_back")
    assert len(tuning) == len(held_back) == 150
    assert not set(tuning) & set(held_back)
    assert 20 < sum(held_back.values()) < 130


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    labels = np.array([True, True, False, False])
    assert area_under_curve(np.array([3.0, 1.0, 2.0, 0.0]), labels) == 0.75
    assert area_under_curve(np.array([1.0, 1.0, 1.0, 1.0]), labels) == 0.5


def test_the_interval_of_equal_scores_is_nothing() -> None:
    labels = np.array([True, False] * 10)
    scores = np.arange(20.0)
    assert difference_interval(scores, scores, labels) == (0.0, 0.0)


def test_the_baseline_counts_words_of_the_tree() -> None:
    count = keyword_baseline(load_pack("vision").attribute_tree)
    assert count("Attentions and a convolution for robots") == 2


@needs_published
def test_the_filter_beats_the_baseline_also_where_nothing_was_tuned() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.paper_filter", str(PAPERS)], check=True, capture_output=True, text=True
    ).stdout
    differences = [line for line in told.splitlines() if "AUC difference" in line]
    assert len(differences) == 3
    for line in differences:
        words = line.replace(",", "").split()
        assert float(words[2]) >= 0.05
        assert float(words[-3]) > 0
