"""Checks, trainings and retrainings in the lab, on a task small enough to learn in a second."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from safetensors.torch import load

from fairnad.errors import SettingsError
from fairnad.ports import Retrained
from fairnad.records.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from tests.tools.quadrants import NETWORK, RECIPE, SETTINGS, make_split, make_task, misbehaving
from tools.lab import TorchLab

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("warm_fork_servers")]


async def test_a_training_learns_and_is_told_in_full(lab):
    evaluation = await lab.train(NETWORK, seed=0)
    report = await lab.check(NETWORK)
    assert isinstance(evaluation, Evaluation) and isinstance(report, CheckReport)
    assert evaluation.accuracy > 0.8
    assert len(evaluation.train_loss) == 3 and evaluation.train_loss[-1] < evaluation.train_loss[0]
    assert evaluation.recipe_digest == RECIPE.digest
    assert (evaluation.costs, evaluation.fingerprint) == (report.costs, report.fingerprint)
    assert evaluation.isolation == "E"
    assert 0 < evaluation.seconds < 20


async def test_one_seed_gives_one_result_with_one_slot_and_with_two(lab, tmp_path):
    sources = [NETWORK, NETWORK.replace("3, padding=1", "5, padding=2")]
    together = await asyncio.gather(*(lab.train(source, seed=3) for source in sources))
    narrow = TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, SETTINGS.model_copy(update={"slots": 1}), tmp_path)
    await narrow.start()
    alone = await asyncio.gather(*(narrow.train(source, seed=3) for source in sources))
    await narrow.close()
    assert narrow.num_slots == 1
    assert together == alone


async def test_another_seed_gives_another_training(lab):
    one, other = await asyncio.gather(lab.train(NETWORK, seed=0), lab.train(NETWORK, seed=1))
    assert one.train_loss != other.train_loss


async def test_a_retraining_hands_out_the_weights_that_were_scored(lab):
    trained = await lab.retrain(NETWORK, seed=0, recipe=RECIPE)
    assert trained.evaluation == await lab.train(NETWORK, seed=0)
    weights = load(trained.weights)
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        "conv.weight": (8, 3, 3, 3),
        "conv.bias": (8,),
        "norm.weight": (8,),
        "norm.bias": (8,),
        "norm.running_mean": (8,),
        "norm.running_var": (8,),
        "norm.num_batches_tracked": (),
        "head.weight": (4, 128),
        "head.bias": (4,),
    }
    assert weights["norm.num_batches_tracked"].item() == 3 * 64 // 16


async def test_a_retraining_by_another_recipe_is_told_by_its_digest(lab):
    longer = replace(RECIPE, num_epochs=4)
    trained = await lab.retrain(NETWORK, seed=0, recipe=longer)
    assert trained.evaluation.recipe_digest == longer.digest != RECIPE.digest
    assert len(trained.evaluation.train_loss) == 4


async def test_the_held_out_images_are_loaded_once_and_nothing_is_trained_for_them(lab, held_out_loads):
    trained = await lab.retrain(NETWORK, seed=0, recipe=RECIPE)
    assert held_out_loads == []
    one, again = await asyncio.gather(*(lab.hold_out(NETWORK, trained.weights, seed=0) for _ in range(2)))
    assert held_out_loads == ["loaded"]
    assert one == again > 0.8
    assert (one * 40).is_integer(), "40 images are held out, 50 are to validate on"
    broken = misbehaving("self.training", "1 / 0").replace("Conv2d(3, 8", "Conv2d(3, 9")
    assert isinstance(await lab.hold_out(broken, trained.weights, seed=0), Failure)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        (misbehaving("late", "x = x * float('inf')"), FailureKind.DIVERGED, "the loss of epoch 2 is not finite"),
        (misbehaving("late", "1 / 0"), FailureKind.RUNTIME, "ZeroDivisionError: division by zero (line 19)"),
        (misbehaving("late", "torch.ones(10 ** 11)"), FailureKind.MEMORY, "RuntimeError: "),
        (misbehaving("late", "os._exit(0)"), FailureKind.CRASH, "ended without a complete report"),
        (
            misbehaving("late", "while True: pass"),
            FailureKind.TIMEOUT,
            "killed at the limit of ",
        ),
        (
            misbehaving("late", "self.register_buffer('extra', torch.zeros(1))"),
            FailureKind.CRASH,
            "weights.bin: expected 3096 bytes, found: ",
        ),
        (misbehaving("big", "1 / 0"), FailureKind.RUNTIME, "ZeroDivisionError: division by zero (line 19)"),
        (misbehaving("big", "return x"), FailureKind.CRASH, "logits.bin: expected 800 bytes, found: 38400 bytes"),
        (misbehaving("big", "os._exit(1)"), FailureKind.CRASH, "ended with exit status 1 and no report"),
        (
            misbehaving("late", """open('report.json', 'w').write('{"result": {"loss": []}}'); os._exit(0)"""),
            FailureKind.CRASH,
            "weights.bin: expected 3096 bytes, found: ",
        ),
        (
            misbehaving(
                "late",
                "open('weights.bin', 'wb').write(bytes(sum(t.numel() * t.element_size() for t in "
                """self.state_dict().values()))); open('report.json', 'w').write('{"result": {}}'); os._exit(0)""",
            ),
            FailureKind.CRASH,
            "left a malformed report",
        ),
    ],
)
async def test_a_training_that_fails_says_why(lab, source, kind, message):
    failure = await lab.train(source, seed=0)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.TRAIN, kind)
    assert failure.message.startswith(message)


async def test_a_training_that_learns_nothing_is_given_up_where_the_recipe_says_so(make_lab):
    lab = await make_lab(integrity="off")
    patient = replace(RECIPE, hopeless_after=0, num_epochs=2)
    hopeless = NETWORK.replace("return self.head(", "return 0 * self.head(")
    assert isinstance(await lab.retrain(hopeless, seed=0, recipe=patient), Retrained)
    failure = await lab.retrain(hopeless, seed=0, recipe=replace(patient, hopeless_after=1))
    assert failure == Failure(Step.TRAIN, FailureKind.HOPELESS, failure.message, failure.log_tail)
    assert failure.message == "the loss did not fall below chance level in 1 epochs"


async def test_earlier_epochs_are_validated_where_asked_for_and_change_nothing(lab, make_lab):
    curious = await make_lab(validate_every=1)
    with_curve, plain = await curious.train(NETWORK, seed=0), await lab.train(NETWORK, seed=0)
    assert [epoch for epoch, _ in with_curve.curve] == [1, 2]
    assert all((accuracy * 50).is_integer() for _, accuracy in with_curve.curve)
    assert replace(with_curve, curve=()) == plain


async def test_without_a_compiler_that_jobs_may_run_nothing_is_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    lab = TorchLab(make_task(lambda: make_split(1, 1)), replace(RECIPE, compiled=True), SETTINGS, tmp_path)
    with pytest.raises(SettingsError, match=r"--lab.compile true: expected torch.compile to work in jobs, found "):
        await lab.start()
    await lab.close()


async def test_a_source_that_does_not_run_fails_in_its_check(lab):
    failure = await lab.train("", seed=0)
    assert failure == Failure(
        Step.EXECUTE,
        FailureKind.INTERFACE,
        "the source defines no class Network",
        "the source defines no class Network",
    )
