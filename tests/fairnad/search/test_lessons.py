"""What earlier draws teach the next prompts, and which ideas are spent."""

import numpy as np
import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import Failure, FailureKind, Step
from fairnad.records.history import History, Record
from fairnad.search.lessons import MOST_LESSONS, MOST_WORDS, UnspentIdeas, lessons, spent_ideas

GATES = Tag(Target.PERFORMANCE, Granularity.OPERATION, "gates")
OTHER = Idea("Another category.", tag=Tag(Target.EFFICIENCY, Granularity.NETWORK, "scaling"))
GATE, GROUPED = Idea("Squeeze-and-excitation after the second conv.", tag=GATES), Idea("Grouped 5×5.", tag=GATES)
BASE = "g00-base-r1-s00-d0"


def place(number: int) -> str:
    return f"g01-fair-r1-s{number:02d}-d0"


def broken(number, idea=GROUPED, kind=FailureKind.SHAPE, message="16 is not 24", step=Step.EXECUTE) -> Record:
    return Record(place(number), BASE, idea, "", failure=Failure(step, kind, message))


@pytest.fixture
def history(trained):
    return History(
        [
            trained(BASE, 0.5, idea=Idea("", IdeaKind.NONE)),
            trained(place(0), 0.512, idea=GATE, parent_id=BASE),
            trained(place(1), 0.49, idea=GROUPED, parent_id=BASE),
            trained(place(2), 0.9, idea=OTHER, parent_id=BASE),
            broken(3, kind=FailureKind.BUDGET, message="flops at 1.30 of its limit", step=Step.DOWNSCALE),
            broken(4),
            broken(5, kind=FailureKind.BUDGET, message="flops at 1.20 of its limit", step=Step.DOWNSCALE),
        ]
    )


def test_what_a_category_gained_lost_and_failed_by(history):
    assert lessons(history, GATE) == (
        "Squeeze-and-excitation after the second conv: +1.2 points",
        "Grouped 5×5: −1.0 points",
        "Grouped 5×5: budget, 2 of 5: flops at 1.20 of its limit",
        "Grouped 5×5: shape, 1 of 5: 16 is not 24",
    )


def test_a_chain_learns_from_all_and_other_kinds_from_their_own(history):
    assert lessons(history, Idea("", IdeaKind.MUTATED))[0] == "Another category: +40.0 points"
    assert lessons(history, OTHER) == ("Another category: +40.0 points",)
    assert lessons(history, Idea("Widen it.", IdeaKind.UPSCALE)) == ()
    assert lessons(History(), GATE) == ()


def test_lessons_stay_short_whatever_ideas_and_messages_say():
    long = Idea("word " * 49, tag=GATES)
    kinds = (FailureKind.NOT_APPLICABLE, FailureKind.SHAPE, FailureKind.MEMORY, FailureKind.CRASH, FailureKind.SYNTAX)
    records = [broken(i, long, kind, f"{'x' * 900} " + "no " * 90) for i, kind in enumerate(kinds)]
    told = lessons(History(records), long)
    assert len(told) == MOST_LESSONS
    assert all(len(lesson.split()) <= MOST_WORDS and len(lesson) < 300 for lesson in told)


def test_what_says_nothing_of_an_idea_is_no_lesson():
    assert lessons(History([broken(0, kind=FailureKind.DUPLICATE, step=Step.JUDGE)]), GROUPED) == ()


def test_an_idea_that_failed_twice_for_the_same_reason_is_spent():
    once, other_reason = [broken(0)], [broken(0), broken(1, kind=FailureKind.MEMORY)]
    assert spent_ideas(once) == spent_ideas(other_reason) == frozenset()
    assert spent_ideas([*other_reason, broken(2)]) == {GROUPED.idea_id}


def test_refusals_and_predefined_ideas_are_never_spent():
    refused = [broken(i, kind=FailureKind.REVIEW, step=Step.MUTATE) for i in range(3)]
    widened = [broken(i, Idea("Widen it.", IdeaKind.UPSCALE)) for i in range(3)]
    assert spent_ideas([*refused, *widened]) == frozenset()


class Drawn:
    """Draws one of two ideas."""

    def sample(self, kind, generator):
        return (GATE, GROUPED)[int(generator.integers(2))]


def test_spent_ideas_are_not_drawn_again_unless_nothing_else_is_there():
    generator = np.random.default_rng(0)
    unspent = UnspentIdeas(Drawn(), frozenset({GROUPED.idea_id}))
    assert {unspent.sample(IdeaKind.KNOWLEDGE, generator).text for _ in range(50)} == {GATE.text}
    all_spent = UnspentIdeas(Drawn(), frozenset({GROUPED.idea_id, GATE.idea_id}))
    assert {all_spent.sample(IdeaKind.KNOWLEDGE, generator).text for _ in range(50)} == {GATE.text, GROUPED.text}


def test_where_nothing_is_spent_the_draws_are_those_of_the_sampler():
    one, other = np.random.default_rng(3), np.random.default_rng(3)
    unspent = UnspentIdeas(Drawn(), frozenset())
    draws = [unspent.sample(IdeaKind.KNOWLEDGE, one) for _ in range(9)]
    assert draws == [Drawn().sample(IdeaKind.KNOWLEDGE, other) for _ in range(9)]
