"""Mutations of mutations: what one generation writes, the next must be able to read."""

import numpy as np
import pytest

from agents.builtin.catalogue import ADJUSTING, UPSCALING
from agents.builtin.mutator import BuiltinMutator
from fairnad.ideas.attribute_tree import Tag
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget, mutation_targets
from fairnad.ports import CallContext, Model, MutationRequest
from fairnad.records.candidate import Failure
from prompts.loader import load_pack
from tests.agents.builtin.networks import LIBRARY, SOURCES, TRANSFORMATIONS, run

ACTIONS = {f"Please {action}": action for action in [*UPSCALING, *ADJUSTING]}
CATEGORIES = tuple(load_pack("vision").attribute_tree.categories)
WORDS = [found.words[0] for found in TRANSFORMATIONS]


def _draw_idea(generator: np.random.Generator) -> tuple[Idea, MutationTarget]:
    if generator.random() < 0.25:
        return Idea(str(generator.choice(list(ACTIONS))), IdeaKind.UPSCALE), MutationTarget.NETWORK
    category = CATEGORIES[int(generator.integers(len(CATEGORIES)))]
    text = f"Use {generator.choice(WORDS)} for it"
    idea = Idea(text, tag=Tag(category.target, category.granularity, category.main))
    targets = mutation_targets(idea)
    return idea, targets[int(generator.integers(len(targets)))]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", SOURCES)
async def test_six_mutations_in_a_row_run(name: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    mutator = BuiltinMutator(ACTIONS, LIBRARY)
    source, notes = SOURCES[name], []
    for step in range(6):
        idea, target = _draw_idea(generator)
        context = CallContext(f"g{step + 1:02d}-fair-r1-s{seed:02d}-d0", 0, seed)
        answer = await mutator.mutate(MutationRequest(context, idea, target, Model(source)))
        if isinstance(answer, Failure):
            continue
        source = answer.source
        notes.append(answer.note)
        run(source, eval_side=28)
    assert len(notes) >= 4, notes
