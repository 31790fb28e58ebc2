from __future__ import annotations

import gzip
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fairnad.domain.task import TaskDefaults
from fairnad.errors import TaskError
from prompts.loader import load_pack
from tests.tools.datasets.data_files import (
    idx_bytes,
    numbered_images,
    numbers_of,
    write_cifar10,
    write_classes,
    write_fashion,
)
from tools.datasets import small_sets
from tools.datasets.splits import stratified_order
from tools.datasets.task_source import torchvision_command
from tools.datasets.tasks import Task, load_task

DEFAULTS = TaskDefaults(
    base="small_resnet",
    recipe="quick",
    max_params=1e6,
    max_flops=1e9,
    image_size=8,
    num_train=0,
    num_validation=0,
    flip_probability=0.5,
    crop_padding=1,
)


def load(name: str, data: Path, image_size: int = 0, **changes: float) -> Task:
    return load_task(name, data=data, image_size=image_size, defaults=replace(DEFAULTS, **changes))


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    return write_fashion(tmp_path / "fashion-mnist")


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    return write_cifar10(tmp_path)


def test_the_default_digits_are_few_to_train_on_and_many_to_validate_on(tmp_path: Path) -> None:
    task = load_task("digits", data=tmp_path, image_size=0, defaults=load_pack("vision").tasks["digits"])
    assert (task.num_classes, task.image_size, task.class_names) == (10, 16, tuple("0123456789"))
    sizes = {"train": (task.train, 150), "validation": (task.validation, 600), "held out": (task.held_out(), 697)}
    for split, num_images in sizes.values():
        assert split.images.shape == (num_images, 3, 16, 16)
        assert split.images.dtype == np.uint8
        assert split.images.max() > 200, "the digits' 16 shades should fill the range of a byte"
        assert split.labels.shape == (num_images,)
        assert split.labels.dtype == np.int64
        assert np.abs(np.bincount(split.labels, minlength=10) - num_images / 10).max() < 4


def test_digits_keep_their_held_out_images_whatever_else_is_asked_for(tmp_path: Path) -> None:
    few, all_of_them = load("digits", tmp_path, num_train=100, num_validation=50), load("digits", tmp_path)
    assert (len(few.train), len(few.validation)) == (100, 50)
    assert (len(all_of_them.train), len(all_of_them.validation)) == (500, 600)
    np.testing.assert_array_equal(few.held_out().images, all_of_them.held_out().images)
    np.testing.assert_array_equal(few.train.images, all_of_them.train.images[:100])


@pytest.mark.parametrize("place", ["fashion-mnist", "FashionMNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_is_found_packed_and_unpacked(tmp_path: Path, place: str, packed: bool) -> None:
    write_fashion(tmp_path / place, packed=packed)
    task = load("fashion-mnist", tmp_path)
    assert (len(task.train), len(task.validation), len(task.held_out())) == (100, 20, 20)
    assert len(task.class_names) == task.num_classes == 10


def test_training_and_validation_images_are_distinct_and_stratified(fashion: Path) -> None:
    task = load("fashion-mnist", fashion.parent)
    assert sorted(numbers_of(task.train) + numbers_of(task.validation)) == list(range(120))
    assert set(np.bincount(task.train.labels)) <= {9, 10, 11}


def test_images_keep_their_labels(fashion: Path) -> None:
    task = load("fashion-mnist", fashion.parent)
    for split in (task.train, task.validation):
        numbers = split.images[:, 0, 0, 0].astype(int) * 256 + split.images[:, 0, 0, 1]
        np.testing.assert_array_equal(numbers % 10, split.labels)


def test_a_task_is_the_same_every_time(fashion: Path) -> None:
    first, second = (load("fashion-mnist", fashion.parent, num_train=30) for _ in range(2))
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.validation.labels, second.validation.labels)
    assert first.digest == second.digest


def test_fashion_mnist_of_the_system_is_used_where_the_data_folder_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(small_sets, "SYSTEM_FOLDER", tmp_path / "system")
    write_fashion(tmp_path / "system" / "fashion-mnist")
    assert len(load("fashion-mnist", tmp_path / "data").train) == 100


def test_mean_and_deviation_are_those_of_the_training_split(tmp_path: Path) -> None:
    task = load("digits", tmp_path, num_train=50)
    pixels = task.train.images[:, 0] / 255
    assert task.mean == pytest.approx([pixels.mean()] * 3, abs=1e-6)
    assert task.std == pytest.approx([pixels.std()] * 3, abs=1e-6)


def test_the_crop_padding_grows_and_shrinks_with_the_images(cifar: Path) -> None:
    defaults = replace(DEFAULTS, image_size=32, crop_padding=4)
    tasks = [load_task("cifar10", data=cifar.parent, image_size=size, defaults=defaults) for size in (0, 8, 16, 64)]
    assert [(task.image_size, task.crop_padding) for task in tasks] == [(32, 4), (8, 1), (16, 2), (64, 8)]


def test_the_digest_tells_every_choice_of_images_apart(fashion: Path) -> None:
    data = fashion.parent
    variants = [
        load("fashion-mnist", data),
        load("fashion-mnist", data, image_size=6),
        load("fashion-mnist", data, num_train=30),
        load("fashion-mnist", data, num_validation=10),
    ]
    images = numbered_images(120, (8, 8))
    images[0, 4, 4] += 1
    (fashion / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
    variants.append(load("fashion-mnist", data))
    assert len({task.digest for task in variants}) == len(variants)


def test_the_digest_leaves_augmentation_and_held_out_images_to_others(fashion: Path) -> None:
    before = load("fashion-mnist", fashion.parent).digest
    (fashion / "t10k-images-idx3-ubyte.gz").unlink()
    assert load("fashion-mnist", fashion.parent, flip_probability=0.1, crop_padding=0).digest == before


def test_held_out_files_are_not_touched_before_they_are_asked_for(fashion: Path) -> None:
    contents = {path: path.read_bytes() for path in fashion.glob("t10k*")}
    for path in contents:
        path.unlink()
    task = load("fashion-mnist", fashion.parent)
    with pytest.raises(TaskError, match="t10k-images-idx3-ubyte"):
        task.held_out()
    for path, content in contents.items():
        path.write_bytes(content)
    assert len(task.held_out()) == 20


@pytest.mark.parametrize("num_images", [0, 1, 7, 100, 1797])
def test_a_stratified_order_is_a_permutation_whose_slices_keep_the_proportions(num_images: int) -> None:
    labels = np.arange(num_images) * 3 // max(num_images, 1)
    labels[labels == 2] = 1  # a third of class 0, two thirds of class 1
    order = stratified_order(labels, np.random.default_rng(0))
    assert sorted(order) == list(range(num_images))
    for start in range(0, num_images, 25):
        piece = labels[order[start : start + 25]]
        assert abs((piece == 0).sum() - (labels == 0).mean() * len(piece)) <= 2


def test_a_stratified_order_shuffles_within_the_classes() -> None:
    order = stratified_order(np.zeros(100, np.int64), np.random.default_rng(0))
    assert (order != np.arange(100)).sum() > 80


def test_an_unknown_task_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"'fashion_mnist'; did you mean 'fashion-mnist'\? .* digits, fash"):
        load("fashion_mnist", tmp_path)


def test_missing_fashion_mnist_names_folders_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_sets, "SYSTEM_FOLDER", tmp_path / "system")
    with pytest.raises(TaskError) as error:
        load("fashion-mnist", tmp_path / "data")
    message = str(error.value)
    for folder in ("data/fashion-mnist", "data/FashionMNIST/raw", "system/fashion-mnist"):
        assert str(tmp_path / folder) in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert f"FashionMNIST('{tmp_path / 'data'}', download=True)" in message
    assert "\n" not in message


def test_more_images_than_there_are_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"digits: training needs 900 images, the split has 500"):
        load("digits", tmp_path, num_train=900)


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def packed(content: bytes) -> bytes:
    return gzip.compress(content)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (IMAGES, lambda content: content[:100], "cannot be read"),
        (IMAGES, lambda content: b"no gzip file", "cannot be read"),
        (IMAGES, lambda content: content[:20] + b"\xff" * 20 + content[40:], "cannot be read"),
        (IMAGES, lambda content: packed(b""), "is not an idx file of unsigned bytes"),
        (IMAGES, lambda content: packed(bytes([0, 0, 13, 1, 0, 0, 0, 0])), "is not an idx file of unsigned bytes"),
        (IMAGES, lambda content: packed(bytes([0, 0, 8, 3, 0, 0])), "is not an idx file of unsigned bytes"),
        (IMAGES, lambda content: packed(gzip.decompress(content)[:-1]), "should contain 7696 bytes, found 7695"),
        (LABELS, lambda content: packed(idx_bytes(np.arange(120) % 11)), "labels from 0 to 9"),
        (LABELS, lambda content: packed(idx_bytes(np.arange(119) % 10)), "expected N train images and N labels"),
    ],
)
def test_a_malformed_idx_file_is_named(
    fashion: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path = fashion / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TaskError, match=message) as error:
        load("fashion-mnist", fashion.parent)
    assert str(fashion) in str(error.value)


def test_a_folder_without_labels_is_named(fashion: Path) -> None:
    (fashion / LABELS).unlink()
    with pytest.raises(TaskError, match=f"{fashion} lacks train-labels-idx1-ubyte and train-labels-idx1-ubyte.gz"):
        load("fashion-mnist", fashion.parent)


def test_the_module_brings_neither_torch_nor_scikit_learn_along() -> None:
    code = "import sys, tools.datasets.tasks; print({'torch', 'sklearn', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("data", ["data", "my data", "it's", 'a"b$c'])
def test_the_command_that_fetches_a_data_set_can_be_pasted(data):
    program, argument, code = shlex.split(torchvision_command("CIFAR10", Path(data)))
    assert (program, argument) == ("python", "-c")
    assert code == f"from torchvision.datasets import CIFAR10; CIFAR10({data!r}, download=True)"


@pytest.mark.parametrize("name", ["digits", "cifar10", "fashion-mnist"])
@pytest.mark.parametrize("part", [".", "Training"])
def test_class_folders_of_images_are_of_another_task(tmp_path: Path, name: str, part: str) -> None:
    write_classes(tmp_path / part, {"cat": 3, "dog": 3})
    message = (
        f"--data {tmp_path}: expected files of the task {name}, found class folders of images (cat, dog); "
        "add --task folder to search on them, or set --data to another folder"
    )
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        load(name, tmp_path)


def test_data_sets_may_have_folders_of_images_beside_them(fashion: Path) -> None:
    write_classes(fashion.parent, {"cat": 3, "dog": 3})
    assert load("fashion-mnist", fashion.parent).class_names[0] == "T-shirt"


def test_folders_of_images_deeper_in_the_data_folder_are_no_mistake(tmp_path: Path) -> None:
    write_classes(tmp_path / "pets", {"cat": 3, "dog": 3})
    assert load("digits", tmp_path).num_classes == 10
