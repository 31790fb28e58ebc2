"""An idea in other words: its tag follows the words, and so does the built-in designer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.builtin.mutator import BuiltinMutator
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, mutation_targets
from fairnad.ports import CallContext, Model, MutationRequest, Proposal
from fairnad.settings.search_settings import RunContext
from graphs.runtime.tagging import reword, run_tagger
from prompts.loader import load_pack

CONVOLUTION = Tag(Target.EFFICIENCY, Granularity.OPERATION, "efficient convolution", "depthwise separable convolution")
DEPTHWISE = Idea("Replace each convolution by a depthwise and a pointwise one.", tag=CONVOLUTION)


@pytest.fixture(scope="module")
def tagger():
    return run_tagger(RunContext(), load_pack("vision"))


async def test_the_built_in_designer_carries_out_what_the_new_words_say(tagger):
    idea = reword(DEPTHWISE, "Use GELU in place of ReLU.", tagger)
    assert (idea.kind, str(idea.tag)) == (IdeaKind.KNOWLEDGE, "performance / operation / activation / gelu")
    base = Model(load_pack("vision").base_source("small_resnet"), None)
    request = MutationRequest(CallContext("g00-initial-r1-s00-d0", 0, 0), idea, mutation_targets(idea)[1], base, ())
    made = await BuiltinMutator({}, load_pack("vision").library).mutate(request)
    assert isinstance(made, Proposal)
    assert "GELU" in made.source and "groups=" not in made.source


def test_words_that_show_no_tag_leave_none(tagger):
    idea = reword(DEPTHWISE, "Do something bold.", tagger)
    assert (idea.text, idea.kind, idea.tag) == ("Do something bold.", IdeaKind.MUTATED, None)


def test_an_idea_that_scales_stays_of_its_kind(tagger):
    idea = Idea("Widen the network.", IdeaKind.UPSCALE)
    assert reword(idea, "Deepen it.", tagger) == replace(idea, text="Deepen it.")


@pytest.mark.parametrize("text", ["", "word " * 50])
def test_words_that_are_no_idea_are_refused(tagger, text):
    with pytest.raises(ValueError, match="an idea has"):
        reword(Idea("", IdeaKind.MUTATED), text, tagger)
