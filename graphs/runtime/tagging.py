"""Tags for ideas that a person has put into words."""

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
    """The tagger of a pack, for a tree; its examples are the pack's ideas, its signs those of the pack's lexicon.

    Raises:
        PackError: the lexicon cannot be read; a pack may do without one.
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
        UserError: as for :func:`make_tagger`, or the tree of the run's knowledge folder cannot be read.
    """
    return make_tagger(pack, attribute_tree(context, pack))


def reworded(idea: Idea, text: str, tagger: Tagger) -> Idea:
    """An idea in other words, with the tag those fall under; the old one says nothing about them any more.

    Words that show no tag leave none. Ideas that scale or adjust carry none anyway and stay of their kind.

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
