"""Design ideas: the entries of the model design knowledge database (paper §4.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from fairnad.ideas.attribute_tree import Granularity, Tag

MAX_IDEA_WORDS = 49
"""An idea has fewer than 50 words (paper F.2.2)."""


class IdeaKind(StrEnum):
    """The origin of an idea. Knowledge ideas carry a tag, mutated ones may, the others do not."""

    KNOWLEDGE = "knowledge"
    """drawn from the idea store (stages initial and fair)"""
    UPSCALE = "upscale"
    """a predefined model up-scaling idea (stage pareto)"""
    HYPERPARAMETER = "hyperparameter"
    """a predefined hyper-parameter adjustment idea (stage pareto)"""
    MUTATED = "mutated"
    """derived by the idea mutator from the last mutation and its effect (stage III)"""
    NONE = "none"
    """the base model: no idea"""


class MutationTarget(StrEnum):
    """The part of the parent that a mutation may change (paper F.2.3)."""

    NEW_MODULE = "new module"
    MODIFY_MODULE = "modify module"
    NETWORK = "network"
    ANY = "any"
    """not named: the paper's ablation (Table 2)"""


@dataclass(frozen=True, slots=True)
class Source:
    """The source of an idea; unknown fields are empty or ``None``."""

    title: str = ""
    year: int | None = None
    link: str = ""
    section: str = ""


@dataclass(frozen=True, slots=True)
class Idea:
    """One design idea of at most :data:`MAX_IDEA_WORDS` words. Only kinds ``mutated`` and ``none`` may be empty.

    ``also`` lists further sources of the same idea.

    Raises:
        ValueError: the text is empty or too long, or the tag does not fit the kind.
    """

    text: str
    kind: IdeaKind = IdeaKind.KNOWLEDGE
    tag: Tag | None = None
    source: Source = Source()
    also: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        num_words = len(self.text.split())
        least = 0 if self.kind in (IdeaKind.MUTATED, IdeaKind.NONE) else 1
        if not least <= num_words <= MAX_IDEA_WORDS:
            raise ValueError(f"an idea has {least} to {MAX_IDEA_WORDS} words, found {num_words}")
        if self.kind is IdeaKind.KNOWLEDGE and self.tag is None:
            raise ValueError("a knowledge idea carries a tag")
        if self.kind not in (IdeaKind.KNOWLEDGE, IdeaKind.MUTATED) and self.tag is not None:
            raise ValueError(f"an idea of kind {self.kind} carries no tag")

    @property
    def idea_id(self) -> str:
        """A short stable id derived from text and tag."""
        return hashlib.sha256(f"{self.kind}|{self.tag}|{self.text}".encode()).hexdigest()[:12]

    @property
    def asks_for_a_module(self) -> bool:
        """Whether a new module can implement it. Predefined ideas scale or adjust existing modules."""
        return self.kind in (IdeaKind.KNOWLEDGE, IdeaKind.MUTATED)


def mutation_targets(idea: Idea) -> tuple[MutationTarget, ...]:
    """The possible targets of an idea; one is drawn uniformly (§4.3.1, F.2.3).

    Ideas for an operation or a block target a new or an existing module. Network ideas, and the untagged ideas of
    stages II and III, target the whole network.
    """
    if idea.tag is None or idea.tag.granularity is Granularity.NETWORK:
        return (MutationTarget.NETWORK,)
    return (MutationTarget.NEW_MODULE, MutationTarget.MODIFY_MODULE)
