"""The librarian by a language model: replies of every kind, and the built-in understanding behind it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from agents.builtin.librarian import BuiltinLibrarian
from agents.librarian import LanguageModelLibrarian, citable
from agents.replies.question_replies import extract_understanding
from fairnad.errors import EndpointError, PackError
from fairnad.ideas.attribute_tree import Granularity, Target
from fairnad.ideas.conversation import Evidence, Preference, Topic, Turn, Understanding
from fairnad.ideas.idea_filter import IdeaFilter
from prompts.librarian_pack import LibrarianPack, load_librarian_pack
from prompts.loader import Pack
from tests.agents.conftest import Connect
from tests.openai_server import Reply, ScriptedServer, prompt_of

IDEA, OTHER, CANDIDATE = "4b3580ed4eeb", "13d188d9d680", "g01-fair-r1-s03-d1"
QUESTION = "channel attention ideas that cost few FLOPs, from 2023 on"
EVIDENCE = (
    Evidence("2 of 2 ideas (channel attention):"),
    Evidence(f"[{IDEA}] Pool along rows and columns.", ideas=(IDEA,)),
    Evidence(f"[{OTHER}] Describe every channel. tried in [{CANDIDATE}]", (OTHER,), (CANDIDATE,)),
)


@pytest.fixture(scope="module")
def pack(vision: Pack) -> LibrarianPack:
    return load_librarian_pack(vision)


@pytest.fixture
def librarian(connect: Connect, pack: LibrarianPack) -> Callable[[ScriptedServer], LanguageModelLibrarian]:
    return lambda server: LanguageModelLibrarian(connect(server), pack, BuiltinLibrarian(pack))


def query(**fields: object) -> str:
    return json.dumps(fields)


GOOD = query(topic="ideas", categories=["channel attention"], since=2023, preference="cheap")
UNDERSTOOD = Understanding(
    Topic.IDEAS, "", IdeaFilter(subs=("channel attention",), since=2023), preference=Preference.CHEAP
)


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        f"Here is the query:\n```json\n{GOOD}\n```\nI hope it helps.",
        f"<think>{{maybe}}</think>{GOOD}",
        GOOD.replace("]", ",]").replace("}", ",}"),
        query(topic="Ideas", categories="Channel-Attention", since="2023", preference="cheap", limit=0, target=None),
        query(topic="ideas", categories=["performance / block and connectivity / x / channel attentions"], since=2023,
              preference="cheap", colour="red"),
    ],
)  # fmt: skip
def test_a_reply_is_read_however_it_is_wrapped(pack: LibrarianPack, reply: str) -> None:
    assert extract_understanding(reply, pack.tree, QUESTION, ()) == UNDERSTOOD


@pytest.mark.parametrize(
    "reply", ["", "I do not know.", "{}", "[1, 2]", '{"answer": 3}', '{"topic": ', query(text="x")]
)
def test_a_reply_without_a_query_is_none(pack: LibrarianPack, reply: str) -> None:
    assert extract_understanding(reply, pack.tree, QUESTION, ()) is None


def test_every_field_is_read(pack: LibrarianPack) -> None:
    reply = query(
        topic="candidates", text=" sigmoid  gate ", categories=["normalization", "layer normalization", "activation"],
        without=["gelu", "normalization"], target="efficiency", granularity="network", until=2020, preference="newest",
        limit=500,
    )  # fmt: skip
    assert extract_understanding(reply, pack.tree, "before 2021", ()) == Understanding(
        Topic.CANDIDATES,
        "sigmoid gate",
        IdeaFilter(
            (Target.EFFICIENCY,), (Granularity.NETWORK,), ("activation",), ("layer normalization",),
            ("normalization", "gelu"), until=2020,
        ),
        Preference.NEWEST,
        limit=50,
    )  # fmt: skip


def test_what_was_made_up_is_left_out_and_noted(pack: LibrarianPack) -> None:
    made_up = {"ideas": ["000000000001"], "target": "beauty", "since": 1999, "categories": ["quantum layers"]}
    reply = query(topic="lineage", candidates=["best", "g09-fair-r1-s00-d0", 7], **made_up)
    understood = extract_understanding(reply, pack.tree, "lineage of 7 and of the best", ())
    assert understood is not None
    assert (understood.candidates, understood.ideas, understood.filters) == (("best", "7"), (), IdeaFilter())
    assert sorted(understood.notes) == [
        "the model's candidate 'g09-fair-r1-s00-d0' was not mentioned",
        "the model's category 'quantum layers' is not in the tree",
        "the model's idea '000000000001' was not mentioned",
        "the model's since 1999 was not asked for",
        "the model's target 'beauty' is unknown",
    ]


def test_what_was_spoken_of_before_may_be_meant(pack: LibrarianPack) -> None:
    before = Turn("from 2019 on", Understanding(filters=IdeaFilter(since=2019)), "", (CANDIDATE,))
    reply = query(topic="candidate", candidates=[CANDIDATE], since=2019)
    understood = extract_understanding(reply, pack.tree, "why was it discarded?", (before,))
    assert understood is not None
    assert (understood.candidates, understood.filters.since, understood.notes) == ((CANDIDATE,), 2019, ())


async def test_the_model_is_shown_the_tree_and_the_turns_before(librarian) -> None:
    with ScriptedServer(lambda request: Reply(GOOD)) as server:
        before = Turn("gelu?", Understanding(), "an answer", ())
        assert await librarian(server).understand(QUESTION, (before,)) == UNDERSTOOD
        shown = prompt_of(server.requests[0])
    assert "- adaptive feature recalibration: channel attention; multi-scale attention" in shown
    assert "- dense connectivity for feature reuse\n" in shown
    assert "Question: gelu?\nAnswer: an answer" in shown
    assert f"Question: {QUESTION}" in shown.split("Answer: an answer")[1]


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (Reply("I think you want attention."), "interpreted the question: the reply is no usable query"),
        (Reply(""), "interpreted the question: the reply was empty twice"),
        (Reply("{", finish="length"), "does not end within 8192 tokens"),
        (Reply.error(400, "maximum context length is 512"), "does not fit the model's context"),
    ],
)
async def test_a_reply_that_cannot_be_used_is_replaced_by_the_built_in_understanding(librarian, reply, note) -> None:
    with ScriptedServer(lambda request: reply) as server:
        understood = await librarian(server).understand(QUESTION, ())
    assert note in understood.notes[0]
    assert (understood.filters, understood.preference) == (UNDERSTOOD.filters, UNDERSTOOD.preference)


async def test_a_candidate_the_model_forgets_is_taken_from_the_question(librarian) -> None:
    with ScriptedServer(lambda request: Reply(query(topic="candidate"))) as server:
        assert (await librarian(server).understand("why was candidate 17 discarded?", ())).candidates == ("17",)
    with ScriptedServer(lambda request: Reply(query(topic="similar"))) as server:
        assert (await librarian(server).understand(f"similar to {IDEA}", ())).ideas == (IDEA,)


async def test_an_answer_cites_what_was_found_and_nothing_else(librarian) -> None:
    text = (
        f"<think>hm</think>Pooling along rows [{IDEA}, aaaaaaaaaaa1] and statistics [13d188], as [{CANDIDATE}] shows."
    )
    with ScriptedServer(lambda request: Reply(text)) as server:
        reply = await librarian(server).answer(QUESTION, UNDERSTOOD, EVIDENCE, ())
        shown = prompt_of(server.requests[0])
    assert reply.text == f"Pooling along rows [{IDEA}] and statistics [{OTHER}], as [{CANDIDATE}] shows."
    assert reply.cited == (IDEA, OTHER, CANDIDATE)
    assert reply.notes == ("removed from the answer because they are not among the findings: aaaaaaaaaaa1",)
    assert all(item.text in shown for item in EVIDENCE)


async def test_an_answer_that_cites_nothing_is_noted_with_what_was_found(librarian) -> None:
    with ScriptedServer(lambda request: Reply("Attention is good.")) as server:
        reply = await librarian(server).answer(QUESTION, UNDERSTOOD, EVIDENCE, ())
    assert (reply.text, reply.cited) == ("Attention is good.", ())
    assert reply.notes == (f"the model cited nothing; the findings: {IDEA}, {CANDIDATE}, {OTHER}",)


async def test_where_the_model_gives_no_answer_the_evidence_is_the_answer(librarian) -> None:
    with ScriptedServer(lambda request: Reply("")) as server:
        reply = await librarian(server).answer(QUESTION, UNDERSTOOD, EVIDENCE, ())
    assert reply.text == "\n".join(item.text for item in EVIDENCE)
    assert reply.cited == (IDEA, CANDIDATE, OTHER)
    assert reply.notes == ("the answer lists the findings without the model: the reply was empty twice",)


async def test_the_model_is_not_asked_where_nothing_was_found(librarian) -> None:
    with ScriptedServer(lambda request: Reply("Surely!")) as server:
        reply = await librarian(server).answer(QUESTION, UNDERSTOOD, (Evidence("No idea is of that kind."),), ())
        assert server.num_requests == 0
    assert reply.text == "No idea is of that kind."


async def test_long_evidence_is_cut_and_said(librarian) -> None:
    many = tuple(Evidence(f"[{number:012d}] " + "word " * 100, (f"{number:012d}",)) for number in range(1, 40))
    with ScriptedServer(lambda request: Reply("[000000000001]")) as server:
        reply = await librarian(server).answer(QUESTION, UNDERSTOOD, many, ())
        assert len(prompt_of(server.requests[0])) < 10_000
    assert reply.notes == ("the model was shown 15 of 39 findings",)


async def test_an_endpoint_that_is_gone_ends_the_question(librarian) -> None:
    with (
        ScriptedServer(lambda request: Reply.error(401, "no")) as server,
        pytest.raises(EndpointError, match="the key"),
    ):
        await librarian(server).understand(QUESTION, ())


async def test_a_pack_without_prompts_for_it_is_named(connect: Connect, vision: Pack, tmp_path) -> None:
    bare = LibrarianPack(vision.attribute_tree, load_librarian_pack(vision).words, "bare", {})
    with (
        ScriptedServer(lambda request: Reply(GOOD)) as server,
        pytest.raises(PackError, match="pack bare has no folder"),
    ):
        await LanguageModelLibrarian(connect(server), bare, BuiltinLibrarian(bare)).understand(QUESTION, ())


def test_ids_within_the_text_of_evidence_may_be_cited() -> None:
    assert citable([Evidence(f"the same architecture as {CANDIDATE}", (IDEA,))]) == {IDEA, CANDIDATE}
