"""Training and scoring in the lab, on a task small enough to learn in a second."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from safetensors.torch import load

from fairnad.candidate import CheckReport, Evaluation, Failure, FailureKind, Step
from fairnad.errors import SettingsError, StoppingError
from fairnad.ports import Retrained
from fairnad.recipe import Recipe
from fairnad.settings import LabSettings
from fairnad.task import TaskReport
from tools.datasets.tasks import Split, Task
from tools.lab import TorchLab

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECIPE = Recipe("test", num_epochs=3, batch_size=16, learning_rate=0.1, flip_probability=0.0, crop_padding=0)
SETTINGS = LabSettings(
    slots=2, device="cpu", train_seconds=5, check_seconds=20, memory=1e9, isolation="E", source_policy=False
)
"""Without a jail: these sources misbehave, and what must hold then is what the lab does with them."""

NETWORK = """
import os
import torch
import torch.nn as nn

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 16, num_classes)
        self.num_steps = 0

    def forward(self, x):
        self.num_steps += self.training
        late = self.num_steps > 4
        big = not self.training and len(x) > 40 and x.device.type == "cpu"
        x = torch.relu(self.norm(self.conv(x)))
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))
"""
LATE = "        x = torch.relu"
"""Where a source can misbehave once it has passed its check: late in the training, or on a big batch to predict."""


def misbehaving(when: str, how: str) -> str:
    return NETWORK.replace(LATE, f"        if {when}:\n            {how}\n{LATE}")


def make_split(num_images: int, seed: int) -> Split:
    """Noise with one of four quadrants brightened, which is the label."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(4, size=num_images)
    images = generator.integers(120, size=(num_images, 3, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[:, row : row + 4, column : column + 4] += 60
    return Split(images, labels)


def make_task(load_held_out: Callable[[], Split]) -> Task:
    return Task(
        name="quadrants",
        num_classes=4,
        image_size=8,
        mean=(0.3, 0.3, 0.3),
        std=(0.2, 0.2, 0.2),
        flip_probability=0.0,
        crop_padding=0,
        digest="quadrants",
        class_names=("a", "b", "c", "d"),
        train=make_split(64, 0),
        validation=make_split(50, 1),
        report=TaskReport("quadrants", "", 8, 64, 50, None, dict.fromkeys("abcd", 16), {}, {}, ()),
        _load_held_out=load_held_out,
    )


@pytest.fixture(scope="session")
def held_out_loads() -> list[str]:
    """One entry for every time the held-out images were loaded."""
    return []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab(tmp_path_factory, held_out_loads):
    def load() -> Split:
        held_out_loads.append("loaded")
        return make_split(40, 2)

    lab = TorchLab(make_task(load), RECIPE, SETTINGS, tmp_path_factory.mktemp("lab"))
    await lab.start()
    yield lab
    await lab.close()


@pytest_asyncio.fixture(loop_scope="session")
async def make_lab(tmp_path):
    """Makes and starts labs with some settings changed; they are closed at the end."""
    labs = []

    async def make(**changes: object) -> TorchLab:
        settings = SETTINGS.model_copy(update=changes)
        labs.append(TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, settings, tmp_path / str(len(labs))))
        await labs[-1].start()
        return labs[-1]

    yield make
    for lab in labs:
        await lab.close()


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


async def test_a_retraining_hands_out_the_weights_that_were_scored(lab, held_out_loads):
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
    assert held_out_loads == []


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
    assert failure.message == "the loss has not fallen below that of guessing in 1 epochs"


async def test_earlier_epochs_are_validated_where_asked_for_and_change_nothing(lab, make_lab):
    curious = await make_lab(validate_every=1)
    with_curve, plain = await curious.train(NETWORK, seed=0), await lab.train(NETWORK, seed=0)
    assert [epoch for epoch, _ in with_curve.curve] == [1, 2]
    assert all((accuracy * 50).is_integer() for _, accuracy in with_curve.curve)
    assert replace(with_curve, curve=()) == plain


def greedy(marks: Path) -> str:
    """Out of memory when it is trained for the first time; each time leaves a mark."""
    folder = str(marks)
    too_much = f"11 if len(os.listdir({folder!r})) == 1 else 1"
    how = f"import tempfile; tempfile.mkstemp(dir={folder!r}); torch.ones(10 ** ({too_much}))"
    return misbehaving("self.num_steps == 5 and self.training", how)


async def test_a_training_that_runs_out_of_memory_beside_another_is_tried_once_more(lab, tmp_path):
    neighbour = misbehaving("late and self.training", f"while not os.listdir({str(tmp_path)!r}): pass")
    for source in (neighbour, greedy(tmp_path)):
        await lab.check(source)  # so that both trainings begin at once
    results = await asyncio.gather(lab.train(neighbour, seed=0), lab.train(greedy(tmp_path), seed=0))
    assert [type(result) for result in results] == [Evaluation, Evaluation], results
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_training_that_runs_out_of_memory_alone_is_judged(lab, tmp_path):
    failure = await lab.train(greedy(tmp_path), seed=0)
    assert failure.kind is FailureKind.MEMORY
    assert len(list(tmp_path.iterdir())) == 1


async def test_one_that_never_fits_is_judged_after_it_was_alone(lab):
    big = misbehaving("late", "torch.ones(10 ** 11)")
    results = await asyncio.gather(*(lab.train(big, seed=seed) for seed in range(2)))
    assert [result.kind for result in results] == [FailureKind.MEMORY] * 2


async def test_a_training_has_the_threads_it_was_promised(make_lab, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    lab = await make_lab(slots=2, threads=2)
    told = await lab.train(misbehaving("late", "raise RuntimeError(torch.get_num_threads())"), seed=0)
    assert told.message.startswith("RuntimeError: 2 ")


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


FORGE = """
            import json, numpy
            num_images = len(numpy.load(json.load(open('request.json'))['images'], mmap_mode='r'))
            logits = torch.tensor([1.0, 0, 0, 0]).repeat(num_images, 1)
            open('logits.bin', 'wb').write(logits.numpy().tobytes())
            open('report.json', 'w').write('{"result": {}}')
            os._exit(0)"""


async def test_forged_logits_score_what_they_are_worth(lab):
    predicting = "not self.training and os.path.exists('weights.bin')"
    evaluation = await lab.train(misbehaving(predicting, FORGE), seed=0)
    assert evaluation.accuracy == np.mean(make_split(50, 1).labels == 0)


async def test_logits_forged_for_some_batches_only_are_noticed(lab):
    failure = await lab.train(misbehaving("big", FORGE), seed=0)
    assert (failure.step, failure.kind) == (Step.TRAIN, FailureKind.BATCH_LEAKAGE)
    assert failure.message.startswith("the same images one at a time: ")


BIG_BATCH = "not self.training and len(x) > 40 and x.device.type == 'cpu'"
COUNTED = NETWORK.replace("import os", "import itertools\nimport os\n\nBATCHES = itertools.count()").replace(
    LATE, "        if not self.training and os.path.exists('weights.bin'): x = x * (1 + next(BATCHES))\n" + LATE
)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        pytest.param(
            misbehaving(BIG_BATCH, "x = x - x.mean(0) * 3 * torch.arange(8)"),
            FailureKind.BATCH_LEAKAGE,
            "the same images one at a time: ",
            id="the mean of a large batch",
        ),
        pytest.param(
            misbehaving(BIG_BATCH, "x = x + 9 * x.roll(1, 0)"),
            FailureKind.BATCH_LEAKAGE,
            "the same images in another order and other batches: ",
            id="a neighbour in a large batch",
        ),
        pytest.param(COUNTED, FailureKind.BATCH_LEAKAGE, "the same images one at a time: ", id="a count of batches"),
        pytest.param(
            misbehaving(BIG_BATCH, "x = x + int.from_bytes(os.urandom(1), 'big') * x.flip(2)"),
            FailureKind.NOT_DETERMINISTIC,
            "the same images in the same batches: ",
            id="chance from outside",
        ),
    ],
)
async def test_logits_that_depend_on_more_than_their_image_are_no_score(lab, source, kind, message):
    failure = await lab.train(source, seed=0)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.TRAIN, kind)
    assert failure.message.startswith(message)


@pytest.mark.parametrize(("integrity", "num_findings"), [("warn", 1), ("off", 0)])
async def test_where_nothing_is_refused_the_score_is_told_with_what_was_found(tmp_path, integrity, num_findings):
    settings = SETTINGS.model_copy(update={"integrity": integrity})
    lab = TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, settings, tmp_path)
    await lab.start()
    evaluation = await lab.train(misbehaving(BIG_BATCH, "x = x + 9 * x.roll(1, 0)"), seed=0)
    await lab.close()
    assert [finding.kind for finding in evaluation.findings] == [FailureKind.BATCH_LEAKAGE] * num_findings
    assert 0 <= evaluation.accuracy < 0.8


async def test_weights_that_are_shared_in_the_check_must_be_shared_when_they_are_delivered(lab):
    sharing = NETWORK.replace("self.num_steps = 0", "self.again = self.conv\n        self.num_steps = 0")
    assert isinstance(await lab.train(sharing, seed=0), Evaluation)
    part = "import copy\n            self.again = copy.deepcopy(self.conv)\n            self.again.weight.data += 1"
    failure = await lab.train(
        sharing.replace(LATE, f"        if late and self.training:\n            {part}\n{LATE}"), seed=0
    )
    assert (failure.step, failure.kind) == (Step.TRAIN, FailureKind.HIDDEN_WEIGHTS)
    assert failure.message == "again.weight shares its weights no longer"


THEFT = {
    "frames": "import sys\n            frame = sys._getframe()\n"
    "            while frame:\n"
    "                found += [v for v in frame.f_locals.values() if hasattr(type(v), 'dtype')]\n"
    "                frame = frame.f_back",
    "gc": "import gc\n            found += [v for v in gc.get_objects() if torch.is_tensor(v)]",
    "files": "import glob, numpy\n"
    "            found += [numpy.load(f) for f in glob.glob('../../images/*') if 'label' in f]",
    "memory maps": "import re\n"
    "            paths = set(re.findall(r'/.*npy', open('/proc/self/maps').read()))\n"
    "            import numpy\n            found += [numpy.load(path) for path in paths]",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lab_of_chance(tmp_path_factory):
    """Scores on labels that were drawn at random, whatever it finds: nothing but the labels beats chance there."""
    task = replace(make_task(lambda: make_split(1, 1)), validation=random_split(60, 3))
    settings = SETTINGS.model_copy(update={"integrity": "off"})
    lab = TorchLab(task, RECIPE, settings, tmp_path_factory.mktemp("lab-of-chance"))
    await lab.start()
    yield lab
    await lab.close()


@pytest.mark.parametrize("way", THEFT)
async def test_labels_that_are_looked_for_while_predicting_are_not_found(lab_of_chance, way):
    steal = (
        "found = []\n            "
        + THEFT[way]
        + """
            for labels in found:
                if tuple(labels.shape) == (len(x),) and 'int' in str(labels.dtype):
                    return nn.functional.one_hot(torch.as_tensor(labels).long(), 4).float()"""
    )
    evaluation = await lab_of_chance.train(misbehaving(BIG_BATCH, steal), seed=0)
    assert isinstance(evaluation, Evaluation), evaluation
    assert evaluation.accuracy < 0.5


def random_split(num_images: int, seed: int) -> Split:
    """Noise with labels that have nothing to do with it."""
    generator = np.random.default_rng(seed)
    images = generator.integers(120, size=(num_images, 3, 8, 8), dtype=np.uint8)
    return Split(images, generator.integers(4, size=num_images))


async def test_what_a_network_keeps_beside_its_weights_is_lost(lab):
    remember = misbehaving("self.training", "self.memory = x").replace(
        "        if self.training", "        if big and hasattr(self, 'memory'): 1 / 0\n        if self.training"
    )
    assert isinstance(await lab.train(remember, seed=0), Evaluation)


async def test_no_label_that_scores_is_written_and_no_image_lies_where_it_was(lab, tmp_path):
    source = misbehaving("late", "raise RuntimeError(' '.join(sorted(os.listdir('../../images'))))")
    failure = await lab.train(source, seed=0)
    names = failure.message.removeprefix("RuntimeError: ").removesuffix(" (line 19)").split()
    assert {"train-images.npy", "train-labels.npy", "validation-images.npy"} <= set(names)
    assert not [name for name in names if "label" in name and name != "train-labels.npy"]


async def test_no_more_trainings_run_at_a_time_than_there_are_slots(lab, tmp_path):
    # Each training leaves its mark while it runs, and fails where it meets more than one other's.
    source = NETWORK.replace(
        LATE,
        f"""        if late and self.training:
            import pathlib
            folder = pathlib.Path({str(tmp_path)!r})
            mark = folder / str(os.getpid())
            mark.touch()
            assert len(list(folder.iterdir())) <= 2
            mark.unlink()
{LATE}""",
    )
    results = await asyncio.gather(*(lab.train(source, seed=seed) for seed in range(5)))
    assert lab.num_slots == 2
    assert all(isinstance(result, Evaluation) for result in results)


async def test_a_lab_says_when_work_gets_its_slot(make_lab):
    lab = await make_lab(slots=1)
    inside, most = 0, []

    @contextlib.contextmanager
    def in_slot():
        nonlocal inside
        inside += 1
        most.append(inside)
        yield
        inside -= 1

    trained = await lab.retrain(NETWORK, seed=0, recipe=RECIPE, in_slot=in_slot)
    trainings = [lab.train(NETWORK, seed=seed, in_slot=in_slot) for seed in range(2)]
    await asyncio.gather(*trainings, lab.hold_out(NETWORK, trained.weights, seed=0, in_slot=in_slot))
    assert (most, inside) == ([1] * 4, 0)


async def test_a_check_does_not_wait_for_trainings(lab, tmp_path):
    marker = tmp_path / "checked"
    wait = misbehaving("late", f"while not os.path.exists({str(marker)!r}): pass")
    trainings = [asyncio.ensure_future(lab.train(wait, seed=seed)) for seed in range(3)]
    check = f"open({str(marker)!r}, 'w')\n" + NETWORK
    assert isinstance(await lab.check(check), CheckReport)
    assert all(isinstance(result, Evaluation) for result in await asyncio.gather(*trainings))


async def test_a_stopping_lab_begins_nothing_and_what_is_killed_stays_pending(tmp_path, pipe, ends):
    lab = TorchLab(make_task(lambda: make_split(1, 1)), RECIPE, SETTINGS, tmp_path)
    await lab.start()
    go = tmp_path / "go"
    report = f"open({str(pipe.path)!r}, 'w').write(f'{{os.getpid()}}\\n')\n            while "
    bound_to_end = misbehaving("late and self.training", f"{report} not os.path.exists({str(go)!r}): pass")
    endless = misbehaving("late and self.training", f"{report} True: pass")
    await lab.check(NETWORK)
    ending, killed = (asyncio.ensure_future(lab.train(source, seed=0)) for source in (bound_to_end, endless))
    pids = await asyncio.to_thread(pipe.read_ids, 2)
    queued = asyncio.ensure_future(lab.train(NETWORK, seed=0))
    lab.stop()
    with pytest.raises(StoppingError, match="the check was not begun"):
        await lab.check(NETWORK + "#")
    go.touch()
    assert isinstance(await ending, Evaluation)
    with pytest.raises(StoppingError, match="the training was not begun"):
        await queued
    await lab.kill_jobs()
    with pytest.raises(StoppingError, match="the train job was killed"):
        await killed
    assert all(ends(pid) for pid in pids)
    await lab.close()
