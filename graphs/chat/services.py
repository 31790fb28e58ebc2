"""The services of the chat's nodes: ideas, pack and librarian."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fairnad.errors import IdeaIndexError
from fairnad.settings.casting import asks_model
from fairnad.settings.search_settings import RunContext
from graphs.runtime.idea_base import find_ideas, load_ideas
from graphs.runtime.registry import Registry
from graphs.runtime.replay import refuse_replay

if TYPE_CHECKING:
    from agents.builtin.phrases import Phrasebook
    from agents.llm.client import LanguageModel
    from fairnad.ideas.conversation import Librarian
    from prompts.librarian_pack import LibrarianPack
    from store.idea_store import ChromaIdeaStore


@dataclass(frozen=True)
class ChatServices:
    """Ideas, librarian, and the language model if it plays the librarian.

    ``saving`` and ``costly`` find words that suggest a cheap or an expensive idea.
    """

    ideas: ChromaIdeaStore
    librarian: Librarian
    language_model: LanguageModel | None
    saving: Phrasebook
    costly: Phrasebook

    async def close(self) -> None:
        """Close the index and the client."""
        await asyncio.to_thread(self.ideas.close)
        if self.language_model is not None:
            await self.language_model.aclose()


async def open_chat(context: RunContext) -> ChatServices:
    """The services for these settings.

    Raises:
        SettingsError: a language model is required but not configured, or a replay is requested.
        UserError: the pack or the ideas cannot be read.
        IdeaIndexError: an embedding endpoint is configured, but the ideas are not embedded yet.
    """
    from agents.builtin.librarian import BuiltinLibrarian
    from agents.builtin.phrases import phrasebook
    from agents.librarian import LanguageModelLibrarian
    from agents.llm.client import CallMemory, LanguageModel

    refuse_replay(context.llm)
    is_model = asks_model(context, "librarian")
    pack, ideas = await asyncio.to_thread(_read_ideas, context)
    built_in = BuiltinLibrarian(pack)
    model = LanguageModel(context.llm, CallMemory()) if is_model else None
    return ChatServices(
        ideas=ideas,
        librarian=LanguageModelLibrarian(model, pack, built_in) if model is not None else built_in,
        language_model=model,
        saving=phrasebook(pack.words.saving),
        costly=phrasebook(pack.words.costly),
    )


def _read_ideas(context: RunContext) -> tuple[LibrarianPack, ChromaIdeaStore]:
    from prompts.librarian_pack import load_librarian_pack
    from prompts.loader import load_pack

    pack = load_pack(context.pack)
    ideas = find_ideas(context, load_ideas(context, pack))
    if context.embedding.model and not ideas.is_indexed():
        raise IdeaIndexError(
            f"the {len(ideas)} ideas are not embedded by {context.embedding.model} yet: "
            "run `python -m graphs.search index` with the same flags"
        )
    librarian_pack = load_librarian_pack(pack)
    tree = librarian_pack.tree.grown([idea.tag for idea in ideas if idea.tag is not None])
    return replace(librarian_pack, tree=tree), ideas


REGISTRY: Registry[RunContext, ChatServices] = Registry(
    open_chat, key=lambda context: context.model_dump_json(), is_shared=True
)
"""Open services by their settings."""
