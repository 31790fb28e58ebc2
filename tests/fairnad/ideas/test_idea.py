from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import MAX_IDEA_WORDS, Idea, IdeaKind, MutationTarget, Source, mutation_targets

TAG = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "swish")
UNTAGGED_KINDS = [kind for kind in IdeaKind if kind is not IdeaKind.KNOWLEDGE]
WORDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=8)
SPACES = st.sampled_from([" ", "  ", "\n", "\t", "\u00a0"])


def test_an_idea_has_fewer_than_fifty_words() -> None:
    assert MAX_IDEA_WORDS == 49


@given(st.lists(WORDS, max_size=55), SPACES)
def test_words_are_counted_whatever_stands_between_them(words: list[str], space: str) -> None:
    text = space + space.join(words) + space
    if 1 <= len(words) < 50:
        assert Idea(text, tag=TAG).text == text
    else:
        with pytest.raises(ValueError, match=f"an idea has 1 to 49 words, found {len(words)}"):
            Idea(text, tag=TAG)


@pytest.mark.parametrize(
    ("kind", "num_words"),
    [
        (IdeaKind.UPSCALE, 0),
        (IdeaKind.UPSCALE, 50),
        (IdeaKind.HYPERPARAMETER, 0),
        (IdeaKind.HYPERPARAMETER, 50),
        (IdeaKind.MUTATED, 50),
    ],
)
def test_predefined_and_mutated_ideas_have_fewer_than_fifty_words_too(kind: IdeaKind, num_words: int) -> None:
    with pytest.raises(ValueError, match=f"words, found {num_words}"):
        Idea(" ".join(["word"] * num_words), kind)


def test_a_knowledge_idea_carries_a_tag() -> None:
    with pytest.raises(ValueError, match="a knowledge idea carries a tag"):
        Idea("Replace ReLU by Swish.")


@pytest.mark.parametrize("kind", [IdeaKind.UPSCALE, IdeaKind.HYPERPARAMETER, IdeaKind.NONE])
def test_neither_the_base_nor_a_predefined_idea_carries_a_tag(kind: IdeaKind) -> None:
    with pytest.raises(ValueError, match=f"an idea of kind {kind} carries no tag"):
        Idea("Replace ReLU by Swish.", kind, TAG)


@pytest.mark.parametrize("kind", [IdeaKind.NONE, IdeaKind.MUTATED])
def test_an_idea_that_is_not_made_yet_or_never_will_be_has_no_words(kind: IdeaKind) -> None:
    assert Idea("", kind).text == ""


@pytest.mark.parametrize("granularity", [Granularity.OPERATION, Granularity.BLOCK])
def test_operation_and_block_ideas_go_into_a_new_or_an_existing_module(granularity: Granularity) -> None:
    idea = Idea("An idea.", tag=Tag(Target.EFFICIENCY, granularity, "some category"))
    assert mutation_targets(idea) == (MutationTarget.NEW_MODULE, MutationTarget.MODIFY_MODULE)


def test_network_ideas_go_to_the_network() -> None:
    idea = Idea("An idea.", tag=Tag(Target.EFFICIENCY, Granularity.NETWORK, "some category"))
    assert mutation_targets(idea) == (MutationTarget.NETWORK,)


@pytest.mark.parametrize("kind", UNTAGGED_KINDS)
def test_untagged_ideas_go_to_the_network(kind: IdeaKind) -> None:
    assert mutation_targets(Idea("An idea.", kind)) == (MutationTarget.NETWORK,)


def test_an_idea_id_follows_text_tag_and_kind_but_not_the_source() -> None:
    other_tag = Tag(Target.EFFICIENCY, TAG.granularity, TAG.main, TAG.sub)
    ideas = [
        Idea("An idea.", tag=TAG),
        Idea("Another idea.", tag=TAG),
        Idea("An idea.", tag=other_tag),
        Idea("An idea.", IdeaKind.UPSCALE),
        Idea("An idea.", IdeaKind.HYPERPARAMETER),
    ]
    assert len({idea.idea_id for idea in ideas}) == len(ideas)
    assert Idea("An idea.", tag=TAG, source=Source("A paper", 2023)).idea_id == ideas[0].idea_id
