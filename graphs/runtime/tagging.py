"""Tags for ideas that users write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import MAX_IDEA_WORDS, Idea, IdeaKind
from fairnad.settings.search_settings import RunContext
from graphs.runtime.idea_base import attribute_tree

if TYPE_CHECKING:
    from agents.builtin.tagger import Tagger
    from prompts.loader import Pack


def make_tagger(pack: Pack, tree: AttributeTree) -> Tagger:
    """The tagger of a pack for an attribute tree; it uses the pack's ideas as examples, and the pack's lexicon.

    Raises:
        PackError: the lexicon cannot be read; a pack may have no lexicon.
        IdeaFileError: the ideas cannot be read.
    """
    from agents.builtin.tagger import Tagger
    from prompts.lexicon import read_lexicon
    from store.idea_files import read_ideas

    lexicon = pack.folder / "knowledge" / "lexicon.yaml"
    signs = read_lexicon(lexicon).signs if lexicon.is_file() else {}
    examples: tuple[Idea, ...] = read_ideas(pack.ideas_file, pack.attribute_tree)
    return Tagger(tree, signs, examples)


def run_tagger(context: RunContext, pack: Pack) -> Tagger:
    """The tagger for the ideas of a run.

    Raises:
        UserError: see :func:`make_tagger`, or the tree of the knowledge folder cannot be read.
    """
    return make_tagger(pack, attribute_tree(context, pack))


def reword(idea: Idea, text: str, tagger: Tagger) -> Idea:
    """An idea with another text and the tag of that text, ``None`` if the tagger finds no tag.

    Ideas that scale or adjust a network keep their kind and have no tag.

    Raises:
        ValueError: the text is empty or too long.
    """
    worded = replace(idea, text=text)
    if not text:
        raise ValueError(f"an idea has 1 to {MAX_IDEA_WORDS} words, found 0")
    if not idea.asks_for_a_module:
        return worded
    tag = tagger.tag_by_sign(text)
    return replace(worded, tag=tag, kind=IdeaKind.KNOWLEDGE if tag else IdeaKind.MUTATED)
