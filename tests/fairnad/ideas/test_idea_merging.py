"""Near-duplicates become one idea that keeps every source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, Source
from fairnad.ideas.idea_merging import NEAR, merge_ideas

TAG = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")


def idea(text: str, title: str = "") -> Idea:
    return Idea(text, tag=TAG, source=Source(title))


def test_the_first_of_near_duplicates_stays_with_all_sources() -> None:
    first = idea("Replace every ReLU of the network by a smooth GELU activation", "one")
    merged = merge_ideas(
        [
            first,
            idea("Use depthwise convolutions of large kernels in the last stage", "other"),
            idea("Replace every ReLU in the network by the smooth GELU activation.", "two"),
            idea("replace every ReLU of the network by a smooth GELU activation", "one"),
        ]
    )
    assert [found.text for found in merged.ideas] == [first.text, merged.ideas[1].text]
    assert merged.ideas[0].source == Source("one")
    assert merged.ideas[0].also == (Source("two"),)
    assert merged.num_merged == 2


def test_sources_of_merged_ideas_that_were_merged_before_are_kept() -> None:
    before = merge_ideas([idea("Gate the channels by their pooled mean", name) for name in ("a", "b")]).ideas
    again = merge_ideas([*before, idea("Gate the channels by their pooled mean", "c")])
    assert again.ideas[0].also == (Source("b"), Source("c"))


words = st.lists(st.sampled_from([f"word{n}" for n in range(12)]), min_size=4, max_size=9, unique=True)


@given(st.lists(words, max_size=12))
def test_exactly_those_are_merged_that_share_enough_words(texts: list[list[str]]) -> None:
    ideas = [idea(" ".join(text), str(number)) for number, text in enumerate(texts)]
    kept: list[set[str]] = []
    for text in texts:
        found = set(text)
        if not any(len(found & other) >= NEAR * len(found | other) for other in kept):
            kept.append(found)
    merged = merge_ideas(ideas)
    assert [set(entry.text.split()) for entry in merged.ideas] == kept
    assert len(merged.ideas) + merged.num_merged == len(ideas)
