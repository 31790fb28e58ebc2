"""The study of mutation forms, with a scripted server in place of a language model."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.mutation_formats import draw_questions, read_trials, study, table
from benchmarks.scripted_forms import form_of
from fairnad.ideas.attribute_tree import Granularity
from prompts.loader import load_pack
from tests.openai_server import Reply, Request, ScriptedServer

BASE = Path("prompts/vision/models/small_resnet.py").read_text()
GATE = "\nclass Gate(nn.Module):\n    def __init__(self, channels):\n        super().__init__()\n" + (
    "        self.weigh = nn.Conv2d(channels, channels, 1)\n\n    def forward(self, x):\n"
    "        return x * torch.sigmoid(self.weigh(x))\n"
)


def script(request: Request) -> Reply:
    """Whole files keep the architecture, modules are good, edits are none."""
    texts = {
        "full": f"```python\n# as it was\n{BASE}```\n",
        "module": f"Place: 1\n\n```python{GATE}```\n",
        "edit": "No.",
    }
    return Reply(texts[form_of(request)], usage=(1000, 200))


def options(out: Path, url: str, *, ideas: int) -> argparse.Namespace:
    return argparse.Namespace(
        out=out, base_url=url, model="scripted", forms=["full", "edit", "module"], ideas=ideas, seed=0, task="digits",
        base="", max_tokens=500, temperature=0.7, library=4,
    )  # fmt: skip


async def test_a_study_judges_every_form_and_goes_on_where_it_was_cut_off(tmp_path):
    out = tmp_path / "tries.jsonl"
    with ScriptedServer(script) as server:
        await study(options(out, server.url, ideas=1))
        asked = server.num_requests
        assert asked == 3, "one for each form"
        await study(options(out, server.url, ideas=1))
        assert server.num_requests == asked
        await study(options(out, server.url, ideas=2))
    trials = read_trials(out)
    assert [(trial.form, trial.number) for trial in trials] == [
        (form, number) for number in range(2) for form in ("full", "edit", "module")
    ]
    assert [trial.kind for trial in trials[:3]] == ["unchanged", "reply", ""]
    assert [trial.runs for trial in trials[:3]] == [True, False, True]
    assert trials[0].idea == trials[2].idea != trials[3].idea
    assert (trials[1].num_calls, trials[1].output_tokens) == (1, 200)
    rows = [line for line in table(trials) if line.startswith("| scripted")]
    assert [row.split(" | ")[2] for row in rows] == ["full", "edit", "module"]
    assert "2 of 2, 100% (34 to 100%)" in rows[2]
    assert "| 1,200 |" in rows[2]


def test_ideas_are_the_same_for_the_same_seed_all_different_and_none_of_a_whole_network():
    pack = load_pack("vision")
    questions = draw_questions(pack, 20, seed=1)
    assert questions == draw_questions(pack, 20, seed=1)
    assert len({question.idea.idea_id for question in questions}) == 20
    assert all(question.idea.tag.granularity is not Granularity.NETWORK for question in questions)


def test_a_file_that_is_not_there_holds_no_tries(tmp_path):
    assert read_trials(tmp_path / "none.jsonl") == []
