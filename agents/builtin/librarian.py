"""The built-in librarian: reads questions by their form, and answers with the evidence."""

from __future__ import annotations

from agents.builtin.question_reader import QuestionReader
from fairnad.ideas.conversation import Evidence, Reply, Turn, Understanding
from prompts.librarian_pack import LibrarianPack


class BuiltinLibrarian:
    """A :class:`fairnad.ideas.conversation.Librarian` that needs no model."""

    def __init__(self, pack: LibrarianPack) -> None:
        self._reader = QuestionReader(pack.tree, pack.words.categories, pack.words.cheap)

    async def understand(self, question: str, earlier: tuple[Turn, ...]) -> Understanding:
        """The query for a question."""
        return self._reader.read(question, earlier)

    async def answer(
        self, question: str, understanding: Understanding, evidence: tuple[Evidence, ...], earlier: tuple[Turn, ...]
    ) -> Reply:
        """All evidence, in its order."""
        cited = dict.fromkeys(found_id for item in evidence for found_id in item.ids)
        return Reply("\n".join(item.text for item in evidence), tuple(cited))
