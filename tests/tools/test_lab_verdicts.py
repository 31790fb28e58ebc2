"""Verdicts that only a training shows: the check could not say, or what it saw has changed since."""

from __future__ import annotations

import pytest

from fairnad.records.candidate import Evaluation, Failure, FailureKind, Step
from tests.tools.quadrants import NETWORK

pytestmark = pytest.mark.asyncio(loop_scope="session")

INIT = "        self.num_steps = 0\n"
WITH_TABLE = NETWORK.replace(INIT, f'{INIT}        self.register_buffer("table", {{table}})\n').replace(
    "        x = torch.relu", "        {late}\n        x = {used}\n        x = torch.relu"
)
ORDER = "torch.stack([torch.randperm(64) for _ in range(64)])"


async def test_a_table_that_training_changes_once_it_has_been_checked_is_refused(lab):
    source = WITH_TABLE.format(
        table="torch.arange(64.0).view(8, 8)", late="if late: self.table.mul_(0.5)", used="x + 0.01 * self.table"
    )
    failure = await lab.train(source, seed=3)
    assert isinstance(failure, Failure), failure
    assert (failure.step, failure.kind) == (Step.TRAIN, FailureKind.HIDDEN_WEIGHTS)
    assert failure.message == "training changes the table table; tensors that training changes must be parameters"


async def test_indices_are_those_of_the_seed_of_the_training(lab):
    used = "x.flatten(2)[:, :, self.table[0]].view_as(x)"
    trained = await lab.train(WITH_TABLE.format(table=ORDER, late="", used=used), seed=3)
    assert isinstance(trained, Evaluation), trained
    learned = WITH_TABLE.format(table=ORDER, late="if late: self.table.copy_(self.table.roll(1, 0))", used=used)
    failure = await lab.train(learned, seed=3)
    assert isinstance(failure, Failure) and failure.kind is FailureKind.HIDDEN_WEIGHTS


async def test_a_network_that_the_check_could_not_judge_is_judged_when_it_is_trained(lab):
    constant = NETWORK.replace("return self.head(", "return self.norm.bias[:4] + 1e-9 * self.head(")
    failure = await lab.train(constant, seed=0)
    assert isinstance(failure, Failure), failure
    assert (failure.step, failure.kind) == (Step.TRAIN, FailureKind.INTEGRITY)
    assert failure.message == "the logits do not depend on the image"
