"""What the built-in librarian understands, question by question."""

from __future__ import annotations

from typing import Any

import pytest

from agents.builtin.question_reader import QuestionReader
from fairnad.ideas.attribute_tree import Granularity, Target
from fairnad.ideas.conversation import Preference, Topic, Turn, Understanding
from fairnad.ideas.idea_filter import IdeaFilter
from prompts.librarian_pack import load_librarian_pack
from prompts.loader import load_pack

BEST, PARENT, IDEA = "g01-fair-r1-s03-d1", "g00-initial-r1-s04-d2", "3f2a9c01d4e7"


@pytest.fixture(scope="module")
def reader() -> QuestionReader:
    pack = load_librarian_pack(load_pack("vision"))
    return QuestionReader(pack.tree, pack.words.categories, pack.words.cheap)


def ideas(text: str = "", *, cheap: bool = False, limit: int = 0, **filters: Any) -> Understanding:
    preference = Preference.CHEAP if cheap else Preference.CLOSEST
    return Understanding(Topic.IDEAS, text, IdeaFilter(**filters), preference, limit=limit)


@pytest.mark.parametrize(
    ("question", "understood"),
    [
        (
            "channel attention ideas that cost few FLOPs, from 2023 on",
            ideas(cheap=True, subs=("channel attention",), since=2023),
        ),
        ("Squeeze-and-Excitation ideas before 2019?", ideas(subs=("channel attention",), until=2018)),
        ("efficient convolution, 2018 to 2020", ideas(mains=("efficient convolution",), since=2018, until=2020)),
        ("cheap convolutions since 2020", ideas(cheap=True, subs=("convolution",), since=2020)),
        ("normalization, but not batch norm", ideas(mains=("normalization",), without=("batch normalization",))),
        ("layer norm within normalization", ideas(subs=("layer normalization",))),
        ("GELU or ReLU6 ideas of 2021", ideas(subs=("gelu", "relu6"), since=2021, until=2021)),
        ("5 ideas on depthwise convolution", ideas(subs=("depthwise convolution",), limit=5)),
        (
            "what can be done for efficiency at block level after 2020",
            ideas(targets=(Target.EFFICIENCY,), granularities=(Granularity.BLOCK,), since=2021),
        ),
        ("move pixels of a neighbourhood into channels", ideas("move pixel neighbourhood channel")),
    ],
)  # fmt: skip
def test_questions_about_ideas(reader: QuestionReader, question: str, understood: Understanding) -> None:
    assert reader.read(question) == understood


@pytest.mark.parametrize(
    ("question", "topic", "candidates"),
    [
        ("why was candidate 17 discarded?", Topic.CANDIDATE, ("17",)),
        ("What happened to g01-refine-s2?", Topic.CANDIDATE, ("g01-refine-s2",)),
        (f"tell me about {BEST}", Topic.CANDIDATE, (BEST,)),
        ("show #3", Topic.CANDIDATE, ("3",)),
        ("how accurate is the base model?", Topic.CANDIDATE, ("base",)),
        ("how did the best candidate come about?", Topic.LINEAGE, ("best",)),
        ("the lineage of fair-s03", Topic.LINEAGE, ("fair-s03",)),
        ("ancestors of candidates 3 and 5", Topic.LINEAGE, ("3", "5")),
        ("what is the difference between candidates 3 and 5?", Topic.DIFF, ("3", "5")),
        ("diff base best", Topic.DIFF, ("base", "best")),
        (f"compare {PARENT} with {BEST}", Topic.DIFF, (PARENT, BEST)),
        ("what changed from the base to candidate 4?", Topic.DIFF, ("base", "4")),
        ("which categories helped?", Topic.CATEGORIES, ()),
        ("What kinds of ideas worked?", Topic.CATEGORIES, ()),
        ("why did candidates fail?", Topic.FAILURES, ()),
        ("what is discarded most?", Topic.FAILURES, ()),
        ("the best candidates", Topic.BEST, ()),
        ("who is the winner", Topic.BEST, ()),
        ("which candidate is best?", Topic.BEST, ()),
        ("Which network has the highest accuracy?", Topic.BEST, ()),
        ("which is best", Topic.BEST, ()),
        ("which one won?", Topic.BEST, ()),
        ("which ideas are best for small images?", Topic.IDEAS, ()),
        ("which idea is best?", Topic.IDEAS, ()),
        ("how many candidates trained?", Topic.RUN, ()),
        ("how far is the search?", Topic.RUN, ()),
        ("pass rate", Topic.RUN, ()),
        ("how many ideas about grouped convolution are there?", Topic.COUNTS, ()),
        ("which candidates used channel attention?", Topic.CANDIDATES, ()),
        ("cheapest candidate", Topic.CANDIDATES, ()),
        (f"ideas similar to {IDEA}", Topic.SIMILAR, ()),
    ],
)
def test_what_a_question_is_about(
    reader: QuestionReader, question: str, topic: Topic, candidates: tuple[str, ...]
) -> None:
    understood = reader.read(question)
    assert (understood.topic, understood.candidates) == (topic, candidates)


@pytest.mark.parametrize(
    ("question", "since", "until"),
    [
        ("from 2023 on", 2023, None),
        ("2023 or later", 2023, None),
        ("newer than 2019", 2020, None),
        ("after 2015 and before 2020", 2016, 2019),
        ("until 2020", None, 2020),
        ("up to 2020", None, 2020),
        ("from 2016 to 2018", 2016, 2018),
        ("2018-2016", 2016, 2018),
        ("published in 2017", 2017, 2017),
        ("a map of 2048 channels", None, None),
        ("gelu", None, None),
    ],
)
def test_years(reader: QuestionReader, question: str, since: int | None, until: int | None) -> None:
    filters = reader.read(f"ideas {question}").filters
    assert (filters.since, filters.until) == (since, until)


def turn(reader: QuestionReader, question: str, *cited: str) -> Turn:
    return Turn(question, reader.read(question), "an answer", cited)


def test_a_question_can_go_on_from_the_one_before(reader: QuestionReader) -> None:
    first = turn(reader, "channel attention from 2020 on", IDEA)
    assert reader.read("and before 2019?", (first,)) == ideas(subs=("channel attention",), until=2018)
    assert reader.read("only cheap ones", (first,)) == ideas(cheap=True, subs=("channel attention",), since=2020)
    assert reader.read("what about layer normalization", (first,)) == ideas(subs=("layer normalization",), since=2020)
    assert reader.read("how many ideas are there?", (first,)).topic is Topic.COUNTS
    assert reader.read("ideas similar to it", (first,)).ideas == (IDEA,)


def test_it_and_why_mean_what_was_cited_last(reader: QuestionReader) -> None:
    best = turn(reader, "the best candidate", BEST, PARENT, IDEA)
    lineage = reader.read("what is its lineage?", (best,))
    assert (lineage.topic, lineage.candidates) == (Topic.LINEAGE, (BEST,))
    why = reader.read("why?", (best,))
    assert (why.topic, why.candidates) == (Topic.CANDIDATE, (BEST,))
    assert reader.read("why was that one discarded", (best,)).candidates == (BEST,)


def test_a_new_subject_is_no_continuation(reader: QuestionReader) -> None:
    first = turn(reader, "channel attention from 2020 on", IDEA)
    assert reader.read("ideas on stochastic depth", (first,)) == ideas(subs=("stochastic depth",))


def test_without_the_packs_words_the_names_of_the_tree_are_understood(reader: QuestionReader) -> None:
    bare = QuestionReader(load_pack("vision").attribute_tree, {}, ())
    assert bare.read("channel attention of 2020").filters == IdeaFilter(
        subs=("channel attention",), since=2020, until=2020
    )
    assert bare.read("squeeze and excitation").filters == IdeaFilter()
