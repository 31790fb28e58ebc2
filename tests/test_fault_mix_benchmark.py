"""The benchmark of a model that is often wrong, on a small scale, and the model itself."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from agents.replies.edit_replies import edit_by
from agents.replies.source_replies import extract_module
from benchmarks.fault_mix import search, table
from benchmarks.proportions import share_text, wilson
from benchmarks.scripted_forms import MODULES, write_file, write_module
from benchmarks.scripted_model import SPOILED, ScriptedModel
from tests.openai_server import Request

BASE = Path("prompts/vision/models/small_resnet.py").read_text()


def asked(system: str, user: str = f"```python\n{BASE}```\n") -> Request:
    return {"model": "scripted", "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}]}


def test_a_mix_of_players_needs_fewer_requests_for_a_valid_candidate_than_a_model_in_every_role(tmp_path):
    outcomes = {}
    for mode in ("paper", "hybrid"):
        (tmp_path / mode).mkdir()
        outcomes[mode] = [search(mode, 0, 4, tmp_path / mode)]
        assert len(outcomes[mode][0].history.trained) == 4
    (paper,), (hybrid,) = outcomes.values()
    assert hybrid.num_requests < paper.num_requests
    lines = list(table(outcomes))
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| paper", "| hybrid"]


def test_edits_of_the_scripted_model_give_the_file_it_designed():
    after = BASE.replace("nn.ReLU()", "nn.GELU()").replace("Stem(3, 4)", "Stem(3, in_channels=4)")
    reply = write_file("edit", "mutate", BASE, after)
    assert edit_by(reply, BASE).source == after
    assert len(reply) < len(write_file("full", "mutate", BASE, after)) / 2


@pytest.mark.parametrize("fault", ["", "unchanged", "hallucinated", "shape", "oversized"])
def test_a_module_reply_holds_a_module_whatever_its_fault(fault):
    request = asked("class NewModule(nn.Module):", "1. here\n2. there\n")
    reply = write_module(request, fault, random.Random(0))
    assert reply.startswith(("Place: 1", "Place: 2"))
    assert extract_module(reply) is not None


@pytest.mark.parametrize("code", MODULES, ids=lambda code: code.split("(")[0].split()[-1])
def test_a_module_without_a_fault_keeps_the_shape_of_its_map(code):
    names = {"torch": torch, "nn": nn, "F": nn.functional, "math": math}
    before = set(names)
    exec(code, names)
    (name,) = set(names) - before - {"__builtins__"}
    for shape in ((2, 4, 16, 16), (2, 8, 4, 4)):
        assert names[name](shape[1])(torch.zeros(shape)).shape == shape


def test_every_fault_of_a_file_changes_it():
    assert all(spoil(BASE) != BASE for spoil in SPOILED.values())
    assert len(MODULES) >= 20


def test_the_same_prompt_gets_another_reply_each_time_and_the_same_ones_from_a_model_of_the_same_seed():
    request = asked("You are given a network as one Python file, and a request.")
    one, other = ScriptedModel(3), ScriptedModel(3)
    replies = [one(request) for _ in range(3)]
    assert replies == [other(request) for _ in range(3)]
    assert len({reply.text for reply in replies}) > 1


def test_a_judge_says_no_to_a_source_that_is_its_parent_but_for_a_comment():
    user = f"```python\n# the same\n{BASE}```\n\nIts parent:\n\n```python\n{BASE}```\n"
    request = asked("You judge whether a network is a new architecture.", user)
    model = ScriptedModel(0)
    texts = [model(request).text for _ in range(30)]
    assert sum("changed: no" in text for text in texts) > 20


def test_a_share_comes_with_its_interval():
    assert share_text(7, 12) == "7 of 12, 58% (32 to 81%)"
    assert wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="expected 0 to 3 hits, found 4"):
        wilson(4, 3)
