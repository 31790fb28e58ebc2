"""The model card, which says how a network came about."""

from __future__ import annotations

from dataclasses import replace

from fairnad.ideas.idea import Idea, IdeaKind
from graphs.report.model_card import change_text
from tests.graphs.conftest import BASE, BEST, PARENT, made_records

RECORDS = {record.candidate_id: record for record in made_records()}


def test_what_was_done_comes_before_the_idea():
    tag, paper = "performance / operation / gating / sigmoid", "Gates for Networks"
    idea = f"Put a sigmoid gate behind every block. ({tag}), after “{paper}”"
    assert change_text(RECORDS[BEST]) == f"a gate behind every block; idea: {idea}"
    assert change_text(RECORDS[PARENT]) == idea, "where nobody noted what was done, the idea is all that is known"
    assert change_text(RECORDS[BASE]) == "the base model"


def test_what_models_write_is_no_markdown():
    nasty = replace(RECORDS[BEST], idea=Idea("*an*\n# idea", IdeaKind.MUTATED), note="<b>done</b>")
    assert change_text(nasty) == "\\<b\\>done\\</b\\>; idea: \\*an\\* \\# idea"
