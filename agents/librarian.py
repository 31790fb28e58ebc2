"""The librarian: a language model that understands questions as queries, and answers from the evidence.

A model may misread a question or invent an id. Its query is checked against the tree and the question, with the
built-in librarian as the fallback; its answer may cite only ids of the evidence. Every correction is noted.
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
from fairnad.ports import CallContext
from fairnad.records.candidate import CandidateId, Failure, Stage, Step
from prompts.librarian_pack import LibrarianPack

_CONTEXT = CallContext(str(CandidateId(0, Stage.BASE, 1, 0, 0)), 0, 0)
"""Questions belong to no candidate, and their calls are not stored."""

_MAX_EVIDENCE_CHARACTERS = 8000
"""About 2,500 tokens, so that a model with a context of 4,096 can still answer."""
_MAX_EARLIER_CHARACTERS = 1200
_NEEDS_CANDIDATES = (Topic.CANDIDATE, Topic.LINEAGE, Topic.DIFF)


class LanguageModelLibrarian:
    """A :class:`fairnad.ideas.conversation.Librarian` that asks a language model."""

    def __init__(self, model: LanguageModel, pack: LibrarianPack, fallback: Librarian) -> None:
        """``fallback`` understands and answers where the model's reply cannot be used."""
        self._model = model
        self._pack = pack
        self._fallback = fallback

    async def understand(self, question: str, earlier: tuple[Turn, ...]) -> Understanding:
        """The question as a query; its notes say what of the reply could not be used.

        Raises:
            EndpointError: no endpoint answers.
        """
        messages = self._pack.messages(
            "question_understanding",
            question=question,
            earlier=_format_turns(earlier),
            performance_attributes=_format_tree(self._pack.tree, Target.PERFORMANCE),
            efficiency_attributes=_format_tree(self._pack.tree, Target.EFFICIENCY),
        )
        answer = await self._model.complete(
            "question_understanding", _CONTEXT, messages, step=Step.UNDERSTAND, schema=UNDERSTANDING
        )
        built_in = await self._fallback.understand(question, earlier)
        if isinstance(answer, Failure):
            return _add_note(built_in, f"the built-in librarian interpreted the question: {answer.message}")
        understood = extract_understanding(answer.text, self._pack.tree, question, earlier)
        if understood is None:
            return _add_note(built_in, "the built-in librarian interpreted the question: the reply is no usable query")
        if understood.topic in _NEEDS_CANDIDATES and not understood.candidates:
            understood = replace(understood, candidates=built_in.candidates)
        if understood.topic is Topic.SIMILAR and not understood.ideas:
            understood = replace(understood, ideas=built_in.ideas)
        return understood

    async def answer(
        self, question: str, understanding: Understanding, evidence: tuple[Evidence, ...], earlier: tuple[Turn, ...]
    ) -> Reply:
        """The model's answer, without ids that are not in the evidence; without an answer, the evidence itself.

        Evidence without any id is returned without asking the model.

        Raises:
            EndpointError: no endpoint answers.
        """
        built_in = await self._fallback.answer(question, understanding, evidence, earlier)
        shown, num_left_out = _format_evidence(evidence)
        known = citable(evidence)
        if not known:
            return built_in
        variables = {"question": question, "earlier": _format_turns(earlier), "evidence": shown}
        messages = self._pack.messages("question_answering", **variables)
        answer = await self._model.complete("question_answering", _CONTEXT, messages, step=Step.ANSWER)
        if isinstance(answer, Failure):
            note = f"the answer lists the findings without the model: {answer.message}"
            return replace(built_in, notes=(*built_in.notes, note))
        cited = check_citations(answer.text.strip(), known)
        notes = []
        if num_left_out:
            notes.append(f"the model was shown {len(evidence) - num_left_out} of {len(evidence)} findings")
        if cited.refused:
            notes.append(f"removed from the answer because they are not among the findings: {', '.join(cited.refused)}")
        if not cited.ids:
            notes.append(f"the model cited nothing; the findings: {', '.join(built_in.cited)}")
        return Reply(cited.text, tuple(cited.ids), tuple(notes))


def citable(evidence: Sequence[Evidence]) -> set[str]:
    """Every id that an answer from this evidence may cite."""
    return {one for item in evidence for one in (*item.ids, *ids_in(item.text))}


def _add_note(understanding: Understanding, note: str) -> Understanding:
    return replace(understanding, notes=(*understanding.notes, note))


def _format_tree(tree: AttributeTree, target: Target) -> str:
    lines = []
    for granularity, mains in tree.outline(target).items():
        lines.append(f"{granularity}:")
        lines += [f"- {main}" + (f": {'; '.join(subs)}" if subs else "") for main, subs in mains.items()]
    return "\n".join(lines) + "\n"


def _format_turns(earlier: Sequence[Turn]) -> str:
    """The earlier turns, the oldest first, cut to fit a small context."""
    turns = [f"Question: {turn.question}\nAnswer: {turn.answer}" for turn in earlier]
    text = "\n".join(turns)
    return text if len(text) <= _MAX_EARLIER_CHARACTERS else f"…{text[-_MAX_EARLIER_CHARACTERS:]}"


def _format_evidence(evidence: Sequence[Evidence]) -> tuple[str, int]:
    """(the evidence that fits, the number of items that do not); part of the first item is always shown."""
    shown: list[str] = []
    length = 0
    for item in evidence:
        room = _MAX_EVIDENCE_CHARACTERS - length
        if shown and len(item.text) > room:
            break
        shown.append(item.text[:room])
        length += len(shown[-1])
    return "\n".join(shown), len(evidence) - len(shown)
