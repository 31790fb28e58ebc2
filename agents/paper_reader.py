"""The paper reader: selects papers and extracts their ideas (paper §4.2, F.2.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents.llm.client import LanguageModel
from agents.proposals import Question, reject_reply
from agents.replies.knowledge_replies import extract_category, extract_idea_lines
from agents.replies.reply_schemas import IDEAS, PAPER_VERDICT, UNTAGGED_IDEAS, UNTAGGED_VERDICT
from fairnad.ideas.attribute_tree import AttributeTree, Tag, Target
from fairnad.ideas.idea import Source
from fairnad.ideas.knowledge import Extraction, Paper, PaperVerdict, Passage, collect_ideas
from fairnad.ideas.tagging import find_tag
from fairnad.ports import CallContext
from fairnad.records.candidate import Failure, Step
from prompts.knowledge_pack import KnowledgePack
from prompts.templates import Messages

_LEAST_CHARACTERS = 2000
"""Minimum characters of a method section; shorter ones are not sent."""


class LanguageModelPaperReader:
    """A :class:`fairnad.ideas.knowledge.PaperReader` that asks a language model.

    ``tagger`` tags papers and ideas that are read without the tree; ``None``: the model sees the tree and tags them.
    """

    def __init__(
        self,
        model: LanguageModel,
        knowledge: KnowledgePack,
        tree: AttributeTree,
        tagger: Callable[[str], Tag | None] | None = None,
    ) -> None:
        self._model = model
        self._knowledge = knowledge
        self._tree = tree
        self._tagger = tagger
        self._categories = {
            "performance_attributes": tree.outline(Target.PERFORMANCE),
            "efficiency_attributes": tree.outline(Target.EFFICIENCY),
        }

    async def judge(self, context: CallContext, paper: Paper) -> PaperVerdict | Failure:
        """Stage 1: whether to keep a paper, and its tag. A paper whose category is not in the tree is discarded.

        With a tagger, the answer is yes or no and the paper is tagged afterwards. A reply without an answer fails.
        """
        categories = self._categories if self._tagger is None else {name: {} for name in self._categories}
        variables = {**categories, "title": paper.title, "abstract": paper.abstract}
        question = Question(self._knowledge, "paper_filter", variables)
        schema = PAPER_VERDICT if self._tagger is None else UNTAGGED_VERDICT
        answer = await question.ask(self._model, context, Step.FILTER, schema)
        if isinstance(answer, Failure):
            return answer
        path = extract_category(answer.text, is_named=self._tagger is None)
        if path is None:
            return reject_reply(Step.FILTER, "the reply gives no answer", answer.text)
        if path and self._tagger is not None:
            return PaperVerdict(keep=True, score=1.0, tag=self._tagger(f"{paper.title}. {paper.abstract}"))
        found = find_tag(path, self._tree) if path else None
        if found is None:
            return PaperVerdict(keep=False, score=0.0)
        return PaperVerdict(keep=True, score=1.0, tag=found.tag, repaired=not found.exact)

    async def extract(self, context: CallContext, paper: Paper, passage: Passage) -> Extraction | Failure:
        """Stage 2: the ideas. A prompt that is too long loses the abstract, then more and more of the method."""
        variables: Mapping[str, object] = {"title": paper.title, "abstract": paper.abstract, "method": passage.text}
        role, schema = "idea_extraction_unstructured", UNTAGGED_IDEAS
        if self._tagger is None:
            role, schema, variables = "idea_extraction", IDEAS, {**self._categories, **variables}

        def shorten(num_left_out: int) -> Messages | None:
            num_characters = len(passage.text) >> (num_left_out - 1)
            if num_characters < min(_LEAST_CHARACTERS, len(passage.text)):
                return None
            shorter = {**variables, "abstract": "", "method": passage.text[:num_characters]}
            return self._knowledge.messages(role, **shorter)

        messages = self._knowledge.messages(role, **variables)
        answer = await self._model.complete(role, context, messages, step=Step.EXTRACT, shorten=shorten, schema=schema)
        if isinstance(answer, Failure):
            return answer
        lines = extract_idea_lines(answer.text)
        if not lines:
            return reject_reply(Step.EXTRACT, "the reply lists no ideas", answer.text)
        source = Source(paper.title, paper.year, paper.link, passage.section)
        if self._tagger is not None:
            return collect_ideas([(text, self._tagger(text)) for text, _ in lines], source)
        tags = [(text, find_tag(path, self._tree)) for text, path in lines]
        return collect_ideas(
            [(text, None if found is None else found.tag) for text, found in tags],
            source,
            num_repaired=sum(1 for _, found in tags if found is not None and not found.exact),
        )
