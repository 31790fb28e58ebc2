"""The structurer and the paper reader, by a language model and built in: values or failures, each asked once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.attribute_structurer import LanguageModelAttributeStructurer
from agents.builtin.attribute_structurer import BuiltinAttributeStructurer
from agents.builtin.paper_reader import BuiltinPaperReader
from agents.builtin.tagger import Tagger
from agents.llm.client import LanguageModel
from agents.paper_reader import LanguageModelPaperReader
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.knowledge import (
    Dropped,
    Extraction,
    Findings,
    Paper,
    PaperReader,
    PaperVerdict,
    Passage,
    ReferenceModel,
)
from fairnad.ports import CallContext
from fairnad.records.candidate import Failure, FailureKind, Step
from prompts.knowledge_pack import KnowledgePack, load_knowledge_pack
from store.history_store import SqliteHistory
from store.idea_files import read_ideas
from tests.openai_server import Reply, Script, ScriptedServer, prompt_of

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]

CONTEXT = CallContext("a paper", 0, 0)
MODEL = ReferenceModel("Tiny", "class Tiny(nn.Module):\n    act = nn.GELU()\n    conv = nn.Conv2d(3, 3, 3)\n")
PAPER = Paper(
    "p",
    "Gated Convolution with Channel Attention for Efficient Backbones",
    "We propose a gated convolution block that replaces attention. It fuses multi-scale features by channel attention.",
    2023,
    "https://example.org/p",
)
PASSAGE = Passage(
    "3. Method",
    "We introduce a block with two branches, a depthwise convolution and a pooling layer. The loss is smooth. "
    "The block is shown in the figure.",
)
GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
PATH = "performance / operation / activation / gelu"


@pytest.fixture(scope="module")
def knowledge() -> KnowledgePack:
    return load_knowledge_pack("vision")


@pytest.fixture(scope="module")
def tagger(knowledge: KnowledgePack) -> Tagger:
    tree = knowledge.pack.attribute_tree
    return Tagger(tree, knowledge.lexicon.signs, read_ideas(knowledge.pack.ideas_file, tree))


@pytest.fixture
def asked(connect: Connect, serve: Serve, knowledge: KnowledgePack) -> Callable[..., PaperReader]:
    """A paper reader that gets the given replies in turn, the last one for ever."""

    def make(*replies: str | Reply, **more: object) -> LanguageModelPaperReader:
        given = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        server = serve(lambda request: given.pop(0) if len(given) > 1 else given[0])
        return LanguageModelPaperReader(connect(server, **more), knowledge, knowledge.pack.attribute_tree)

    return make


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (f"It fits. ##response## {PATH}", PaperVerdict(True, 1.0, GELU)),
        (
            "##response## performance * operation level * activations * gelu",
            PaperVerdict(True, 1.0, GELU, repaired=True),
        ),
        ("##response## no", PaperVerdict(False, 0.0)),
        ("##response## losses / training / focal loss / gamma", PaperVerdict(False, 0.0)),
    ],
)
async def test_a_reply_becomes_a_verdict(asked: Callable[..., PaperReader], reply: str, verdict: PaperVerdict) -> None:
    assert await asked(reply).judge(CONTEXT, PAPER) == verdict


async def test_a_reply_without_an_answer_is_a_failure(asked: Callable[..., PaperReader]) -> None:
    failure = await asked("What a nice paper.").judge(CONTEXT, PAPER)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind, failure.message) == (
        Step.FILTER,
        FailureKind.REPLY,
        "the reply gives no answer",
    )


async def test_ideas_are_tagged_mended_or_dropped_and_counted(asked: Callable[..., PaperReader]) -> None:
    long = " ".join(["word"] * 50)
    reply = "\n".join(
        [
            f"- Use GELU in every block | {PATH}",
            "- Use GELU in the stem only | performance / operation / activations / gelu",
            "- Use a focal loss of large gamma | losses / training / focal loss",
            f"- {long} | {PATH}",
            f"- use gelu in EVERY block | {PATH}",
        ]
    )
    found = await asked(reply).extract(CONTEXT, PAPER, PASSAGE)
    assert isinstance(found, Extraction)
    assert [(idea.text, idea.tag) for idea in found.ideas] == [
        ("Use GELU in every block", GELU),
        ("Use GELU in the stem only", GELU),
    ]
    assert found.num_repaired == 1
    assert found.dropped == {Dropped.NO_CATEGORY: 1, Dropped.TOO_LONG: 1, Dropped.REPEATED: 1}
    source = found.ideas[0].source
    assert (source.title, source.year, source.link, source.section) == (PAPER.title, 2023, PAPER.link, "3. Method")


async def test_a_reply_without_ideas_is_a_failure(asked: Callable[..., PaperReader]) -> None:
    failure = await asked("There is nothing in it.").extract(CONTEXT, PAPER, PASSAGE)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.message) == (Step.EXTRACT, "the reply lists no ideas")


async def test_a_method_that_is_too_long_is_cut_until_it_fits(
    connect: Connect, serve: Serve, knowledge: KnowledgePack
) -> None:
    def script(request: dict[str, object]) -> Reply:
        if len(prompt_of(request)) > 20_000:
            return Reply.error(400, "maximum context length is 4096 tokens")
        return Reply(f"- Use GELU in every block | {PATH}")

    server = serve(script)
    reader = LanguageModelPaperReader(connect(server), knowledge, knowledge.pack.attribute_tree)
    found = await reader.extract(CONTEXT, PAPER, Passage("3. Method", "a line of method\n" * 4000))
    assert isinstance(found, Extraction)
    assert len(found.ideas) == 1
    assert server.num_requests > 2


async def test_without_the_tree_ideas_are_tagged_afterwards(
    connect: Connect, serve: Serve, knowledge: KnowledgePack, tagger: Tagger
) -> None:
    server = serve(lambda request: Reply("- Replace ReLU by GELU in every block of the network"))
    reader = LanguageModelPaperReader(connect(server), knowledge, knowledge.pack.attribute_tree, tagger.tag)
    found = await reader.extract(CONTEXT, PAPER, PASSAGE)
    assert isinstance(found, Extraction)
    (idea,) = found.ideas
    assert idea.tag is not None
    assert idea.tag.main == "activation"
    assert "network structural patterns" not in prompt_of(server.requests[0]), "the tree is not shown"


async def test_an_answered_call_is_never_made_again(
    asked: Callable[..., PaperReader], log: SqliteHistory, knowledge: KnowledgePack, connect: Connect, serve: Serve
) -> None:
    server = serve(lambda request: Reply("##response## no"))
    for _ in range(2):
        await LanguageModelPaperReader(connect(server), knowledge, knowledge.pack.attribute_tree).judge(CONTEXT, PAPER)
    assert server.num_requests == 1


async def test_attributes_of_a_model_are_asked_for(connect: Connect, serve: Serve, knowledge: KnowledgePack) -> None:
    server = serve(lambda request: Reply('{"performance": {"operation": {"activation": ["GELU"]}}}'))
    found = await LanguageModelAttributeStructurer(connect(server), knowledge).structure(CONTEXT, MODEL)
    assert isinstance(found, Findings)
    assert [(attribute.main, attribute.name) for attribute in found.attributes] == [("activation", "GELU")]
    prompt = prompt_of(server.requests[0])
    assert "act = nn.GELU()" in prompt
    for category, note in knowledge.template.notes.items():
        assert f"- {category.main}: {note.about}" in prompt


async def test_a_structuring_without_json_is_a_failure(
    connect: Connect, serve: Serve, knowledge: KnowledgePack
) -> None:
    server = serve(lambda request: Reply("It is a fine model."))
    failure = await LanguageModelAttributeStructurer(connect(server), knowledge).structure(CONTEXT, MODEL)
    assert isinstance(failure, Failure)
    assert failure.message == "the reply contains no list of attributes"


async def test_the_built_in_structurer_knows_attributes_by_their_code(knowledge: KnowledgePack) -> None:
    found = await BuiltinAttributeStructurer(knowledge.lexicon).structure(CONTEXT, MODEL)
    assert isinstance(found, Findings)
    assert [attribute.name for attribute in found.attributes] == ["convolution", "gelu"]


async def test_the_built_in_reader_keeps_what_speaks_of_architecture(knowledge: KnowledgePack, tagger: Tagger) -> None:
    reader = BuiltinPaperReader(knowledge.lexicon, tagger)
    kept = await reader.judge(CONTEXT, PAPER)
    discarded = await reader.judge(
        CONTEXT,
        Paper("q", "A Dataset of Labelled Videos", "We collect a large annotated benchmark dataset for training."),
    )
    assert isinstance(kept, PaperVerdict)
    assert isinstance(discarded, PaperVerdict)
    assert kept.keep
    assert kept.tag in knowledge.pack.attribute_tree
    assert (discarded.keep, discarded.tag) == (False, None)
    assert kept.score > knowledge.lexicon.keep_above > discarded.score


async def test_the_built_in_reader_extracts_what_says_how_a_network_is_built(
    knowledge: KnowledgePack, tagger: Tagger
) -> None:
    found = await BuiltinPaperReader(knowledge.lexicon, tagger).extract(CONTEXT, PAPER, PASSAGE)
    assert isinstance(found, Extraction)
    texts = [idea.text for idea in found.ideas]
    assert "Use a block with two branches, a depthwise convolution and a pooling layer." in texts
    assert not any("loss" in text or "figure" in text for text in texts)
    for idea in found.ideas:
        assert idea.tag in knowledge.pack.attribute_tree
        assert idea.source.title == PAPER.title


@pytest.mark.parametrize(("title", "abstract"), [("", ""), ("x", ""), ("", "α" * 5000), ("*" * 100, "[1] (2) =")])
async def test_the_built_in_reader_copes_with_any_text(
    knowledge: KnowledgePack, tagger: Tagger, title: str, abstract: str
) -> None:
    reader = BuiltinPaperReader(knowledge.lexicon, tagger)
    verdict = await reader.judge(CONTEXT, Paper("x", title, abstract))
    assert isinstance(verdict, PaperVerdict)
    assert not verdict.keep
    found = await reader.extract(CONTEXT, Paper("x", title, abstract), Passage("", abstract))
    assert isinstance(found, Extraction)
    assert found.ideas == ()


def test_a_tag_of_a_tree_the_lexicon_does_not_know_is_known_by_its_name(knowledge: KnowledgePack) -> None:
    from fairnad.ideas.attribute_tree import AttributeTree, Category

    tree = AttributeTree(
        {Category(Target.PERFORMANCE, Granularity.OPERATION, "spectral operators"): ("wavelet layer",)}
    )
    found = Tagger(tree, knowledge.lexicon.signs, ()).tag("Put a wavelet layer in front.")
    assert found is not None
    assert found.sub == "wavelet layer"
    assert Tagger(tree, knowledge.lexicon.signs, ()).tag("Nothing of the kind.") is None
