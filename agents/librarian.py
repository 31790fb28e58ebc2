"""The librarian: a language model that understands questions as queries, and answers from what was found.

A model may misread a question or make an id up. What it understands is checked against the tree and the question, with
the built-in understanding behind it; what it answers may only cite ids that were found. Every such repair is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agents.llm.client import LanguageModel
from agents.replies.citations import check_citations, ids_in
from agents.replies.question_replies import extract_understanding
from agents.replies.reply_schemas import UNDERSTANDING
from fairnad.ideas.attribute_tree import AttributeTree, Target
from fairnad.ideas.conversation import Evidence, Librarian, Reply, Topic, Turn, Understanding
from fairnad.ports import Errand
from fairnad.records.candidate import CandidateId, Failure, Stage, Step
from prompts.librarian_pack import LibrarianPack

_ERRAND = Errand(str(CandidateId(0, Stage.BASE, 1, 0, 0)), 0, 0)
"""Questions belong to no candidate; their calls are kept nowhere."""

_MAX_EVIDENCE_CHARACTERS = 8000
"""About 2,500 tokens: what a model with a context of 4,096 can read and still answer."""
_MAX_EARLIER_CHARACTERS = 1200
_NEEDS_CANDIDATES = (Topic.CANDIDATE, Topic.LINEAGE, Topic.DIFF)


class LanguageModelLibrarian:
    """A :class:`fairnad.ideas.conversation.Librarian` that asks a language model."""

    def __init__(self, model: LanguageModel, pack: LibrarianPack, stand_in: Librarian) -> None:
        """Set the role up.

        Args:
            stand_in: understands and answers where the model's reply cannot be used.
        """
        self._model = model
        self._pack = pack
        self._stand_in = stand_in

    async def understand(self, question: str, earlier: tuple[Turn, ...]) -> Understanding:
        """The question as something that can be looked up; the notes say what of the reply could not be used.

        Raises:
            EndpointError: the endpoint is gone for good.
        """
        messages = self._pack.messages(
            "question_understanding",
            question=question,
            earlier=_earlier_text(earlier),
            performance_attributes=_tree_text(self._pack.tree, Target.PERFORMANCE),
            efficiency_attributes=_tree_text(self._pack.tree, Target.EFFICIENCY),
        )
        answer = await self._model.complete(
            "question_understanding", _ERRAND, messages, step=Step.UNDERSTAND, schema=UNDERSTANDING
        )
        built_in = await self._stand_in.understand(question, earlier)
        if isinstance(answer, Failure):
            return _noted(built_in, f"the question was understood without the model: {answer.message}")
        understood = extract_understanding(answer.text, self._pack.tree, question, earlier)
        if understood is None:
            return _noted(built_in, "the question was understood without the model: its reply holds no usable query")
        if understood.topic in _NEEDS_CANDIDATES and not understood.candidates:
            understood = replace(understood, candidates=built_in.candidates)
        if understood.topic is Topic.SIMILAR and not understood.ideas:
            understood = replace(understood, ideas=built_in.ideas)
        return understood

    async def answer(
        self, question: str, understanding: Understanding, evidence: tuple[Evidence, ...], earlier: tuple[Turn, ...]
    ) -> Reply:
        """The model's answer without ids that are not in the evidence; the evidence itself where it gives none.

        Without a single id in the evidence there is nothing a model could add, and it is not asked.

        Raises:
            EndpointError: the endpoint is gone for good.
        """
        built_in = await self._stand_in.answer(question, understanding, evidence, earlier)
        shown, num_left_out = _evidence_text(evidence)
        known = citable(evidence)
        if not known:
            return built_in
        variables = {"question": question, "earlier": _earlier_text(earlier), "evidence": shown}
        messages = self._pack.messages("question_answering", **variables)
        answer = await self._model.complete("question_answering", _ERRAND, messages, step=Step.ANSWER)
        if isinstance(answer, Failure):
            note = f"the answer is what was found, without the model: {answer.message}"
            return replace(built_in, notes=(*built_in.notes, note))
        cited = check_citations(answer.text.strip(), known)
        notes = []
        if num_left_out:
            notes.append(f"the model was shown {len(evidence) - num_left_out} of {len(evidence)} findings")
        if cited.refused:
            notes.append(f"taken out of the answer, since they were not found: {', '.join(cited.refused)}")
        if not cited.ids:
            notes.append(f"the model cited nothing; what was found: {', '.join(built_in.cited)}")
        return Reply(cited.text, tuple(cited.ids), tuple(notes))


def citable(evidence: Sequence[Evidence]) -> set[str]:
    """Every id an answer from this evidence may cite."""
    return {one for item in evidence for one in (*item.ids, *ids_in(item.text))}


def _noted(understanding: Understanding, note: str) -> Understanding:
    return replace(understanding, notes=(*understanding.notes, note))


def _tree_text(tree: AttributeTree, target: Target) -> str:
    lines = []
    for granularity, mains in tree.outline(target).items():
        lines.append(f"{granularity}:")
        lines += [f"- {main}" + (f": {'; '.join(subs)}" if subs else "") for main, subs in mains.items()]
    return "\n".join(lines) + "\n"


def _earlier_text(earlier: Sequence[Turn]) -> str:
    """The turns before, the oldest first, as much of them as a small context bears."""
    turns = [f"Question: {turn.question}\nAnswer: {turn.answer}" for turn in earlier]
    text = "\n".join(turns)
    return text if len(text) <= _MAX_EARLIER_CHARACTERS else f"…{text[-_MAX_EARLIER_CHARACTERS:]}"


def _evidence_text(evidence: Sequence[Evidence]) -> tuple[str, int]:
    """(the evidence that fits, how many items do not); of the first item a part is shown in any case."""
    shown: list[str] = []
    length = 0
    for item in evidence:
        room = _MAX_EVIDENCE_CHARACTERS - length
        if shown and len(item.text) > room:
            break
        shown.append(item.text[:room])
        length += len(shown[-1])
    return "\n".join(shown), len(evidence) - len(shown)
