"""Scores in the lab: whatever a source does, nothing but its logits on unseen images counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import pytest_asyncio

from fairnad.records.candidate import Evaluation, Failure, FailureKind, Step
from tests.tools.quadrants import BIG_BATCH, FORGE, LATE, NETWORK, RECIPE, SETTINGS, make_split, make_task, misbehaving
from tools.datasets.tasks import Split
from tools.lab import TorchLab

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.usefixtures("warm_fork_servers")]


async def test_forged_logits_score_what_they_are_worth(lab):
    predicting = "not self.training and os.path.exists('weights.bin')"
    evaluation = await lab.train(misbehaving(predicting, FORGE), seed=0)
    assert evaluation.accuracy == np.mean(make_split(50, 1).labels == 0)


async def test_logits_forged_for_some_batches_only_are_noticed(lab):
    failure = await lab.train(misbehaving("big", FORGE), seed=0)
    assert (failure.step, failure.kind) == (Step.TRAIN, FailureKind.BATCH_LEAKAGE)
    assert failure.message.startswith("the same images one at a time: ")


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
    assert failure.message == "again.weight no longer shares its weights"


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
