from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairnad.errors import TaskError
from tests.published_data import PUBLISHED, needs_published
from tests.tools.datasets.data_files import numbers_of, write_cifar10, write_cifar100, write_imagenet16, write_split
from tests.tools.datasets.paper_sets import TASKS, load
from tests.tools.watching import Watch
from tools.datasets import paper_sets
from tools.datasets.paper_sets import FOLDER_NAME, read_halves
from tools.datasets.task_source import DataRequest
from tools.datasets.tasks import Task, load_final_task

Nobody = Callable[[], contextlib.AbstractContextManager[None]]
WRITERS = {"cifar10": write_cifar10, "cifar100": write_cifar100, "imagenet16-120": write_imagenet16}
SPLIT_FILES = {
    "cifar10": paper_sets.CIFAR10_SPLIT,
    "cifar100": paper_sets.CIFAR100_SPLIT,
    "imagenet16-120": paper_sets.IMAGENET16_SPLIT,
}


def exam(name: str, data: Path) -> Task:
    return load_final_task(name, data=data, defaults=TASKS[name])


def seen(data: Path) -> DataRequest:
    """A request that nothing but the place matters in."""
    return DataRequest(data, 0, 0, data, None)  # type: ignore[arg-type]


# The sizes and settings of the paper


@pytest.mark.parametrize(
    ("name", "num_classes", "size", "padding", "params", "flops"),
    [
        ("cifar10", 10, 32, 4, 1.5e6, 0.2e9),
        ("cifar100", 100, 32, 4, 1.5e6, 0.2e9),
        ("imagenet16-120", 120, 16, 2, 1.5e6, 0.05e9),
    ],
)
def test_the_settings_are_the_papers(
    tmp_path: Path, name: str, num_classes: int, size: int, padding: int, params: float, flops: float
) -> None:
    WRITERS[name](tmp_path)
    task = load(name, tmp_path)
    assert (task.num_classes, task.image_size, task.crop_padding, task.flip_probability) == (
        num_classes, size, padding, 0.5,
    )  # fmt: skip
    assert (TASKS[name].max_params, TASKS[name].max_flops) == (params, flops)
    assert (TASKS[name].base, TASKS[name].recipe) == ("resnet32", "nasbench201")
    assert (TASKS[name].num_train, TASKS[name].num_validation) == (0, 0)


def test_images_are_normalised_as_nas_bench_201_does_it(tmp_path: Path) -> None:
    for name, first_mean, first_deviation in (
        ("cifar10", 125.3, 63.0),
        ("cifar100", 129.3, 68.2),
        ("imagenet16-120", 122.68, 63.22),
    ):
        WRITERS[name](tmp_path)
        task = load(name, tmp_path)
        assert task.mean[0] == pytest.approx(first_mean / 255, abs=1e-6)
        assert task.std[0] == pytest.approx(first_deviation / 255, abs=1e-6)


# Splits


def test_cifar10_follows_the_split_file_index_by_index_and_is_examined_on_all_training_images(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    order = [int(number) for number in np.random.default_rng(1).permutation(100)]
    write_split(tmp_path / FOLDER_NAME / "cifar-split.txt", train=order[:40], valid=order[40:])
    task = load("cifar10", tmp_path)
    assert numbers_of(task.train) == order[:40]
    assert numbers_of(task.validation) == order[40:]
    examined = exam("cifar10", tmp_path)
    assert numbers_of(examined.train) == list(range(100))
    assert numbers_of(examined.validation) == list(range(100, 120))


def test_cifar100_trains_on_all_and_shares_the_test_file_out(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    order = [int(number) for number in np.random.default_rng(2).permutation(200)]
    write_split(tmp_path / FOLDER_NAME / "cifar100-test-split.txt", xvalid=order[:90], xtest=order[90:])
    task, examined = load("cifar100", tmp_path), exam("cifar100", tmp_path)
    assert numbers_of(task.train) == numbers_of(examined.train) == list(range(400))
    assert numbers_of(task.validation) == [400 + number for number in order[:90]]
    assert numbers_of(examined.validation) == [400 + number for number in order[90:]]
    assert list(task.train.labels) == [number % 100 for number in range(400)]
    assert task.class_names[:2] == ("kind 0", "kind 1")


def test_imagenet16_keeps_the_first_120_classes_and_shares_val_data_out(tmp_path: Path) -> None:
    write_imagenet16(tmp_path)
    used = [number for number in range(900) if number % 150 < 120]
    in_training, in_val_data = [number for number in used if number < 600], [number for number in used if number >= 600]
    order = [int(number) for number in np.random.default_rng(3).permutation(len(in_val_data))]
    write_split(tmp_path / FOLDER_NAME / "imagenet-16-120-test-split.txt", xvalid=order[:100], xtest=order[100:])
    task, examined = load("imagenet16-120", tmp_path), exam("imagenet16-120", tmp_path)
    assert numbers_of(task.train) == numbers_of(examined.train) == in_training
    assert list(task.train.labels) == [number % 150 for number in in_training], "published labels count from 1"
    assert numbers_of(task.validation) == [in_val_data[position] for position in order[:100]]
    assert numbers_of(examined.validation) == [in_val_data[position] for position in order[100:]]


@needs_published
@pytest.mark.parametrize(
    ("name", "num_images", "num_first"), [("cifar10", 50_000, 25_000), ("cifar100", 10_000, 5_000),
                                          ("imagenet16-120", 6_000, 3_000)],
)  # fmt: skip
def test_the_official_files_are_read_index_by_index(name: str, num_images: int, num_first: int, tmp_path: Path) -> None:
    folder, file = tmp_path / FOLDER_NAME, SPLIT_FILES[name]
    folder.symlink_to((PUBLISHED / "nasbench201" / "splits").resolve())
    halves = read_halves(seen(tmp_path), file, np.zeros(num_images, np.int64))
    content = json.loads((folder / file.name).read_text())
    assert [str(number) for number in halves.first] == content[file.keys[0]][1]
    assert [str(number) for number in halves.second] == content[file.keys[1]][1]
    assert len(halves.first) == num_first
    assert sorted([*halves.first, *halves.second]) == list(range(num_images))
    assert halves.notices == ()


@pytest.mark.parametrize("name", WRITERS)
def test_without_split_files_the_halves_are_stratified_and_that_is_said(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    task, examined = load(name, tmp_path), exam(name, tmp_path)
    [notice] = [notice for notice in task.report.notices if "official" in notice]
    file = tmp_path / FOLDER_NAME / SPLIT_FILES[name].name
    assert f"{file} is not there; get it with: curl --create-dirs -o {file} https://" in notice
    counts = np.bincount(task.validation.labels, minlength=task.num_classes)
    assert counts.max() - counts.min() <= 1
    if name != "cifar10":
        assert not set(numbers_of(task.validation)) & set(numbers_of(examined.validation))


def test_a_split_of_another_number_of_images_is_not_used_and_that_is_said(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    write_split(tmp_path / FOLDER_NAME / "cifar-split.txt", train=range(60), valid=range(60, 120))
    task = load("cifar10", tmp_path)
    assert set(np.bincount(task.train.labels)) == {5}
    [notice] = [notice for notice in task.report.notices if "official" in notice]
    assert "cifar-split.txt lists 120 images, but there are 100." in notice


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "should contain the lists train and valid of image numbers"),
        ('{"train": ["int", ["0"]]}', "should contain the lists train and valid"),
        ('{"train": ["str", ["0"]], "valid": ["int", ["1"]]}', "should contain the lists train and valid"),
        ('{"train": ["int", ["x"]], "valid": ["int", ["1"]]}', "should contain the lists train and valid"),
        ('{"train": 3, "valid": ["int", ["1"]]}', "should contain the lists train and valid"),
        (json.dumps({key: ["int", ["7"] * 50] for key in ("train", "valid")}), "should name each of 100 images once"),
    ],
)
def test_a_malformed_split_file_is_named(cifar: Path, content: str, message: str) -> None:
    path = cifar.parent / FOLDER_NAME / "cifar-split.txt"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(TaskError, match=message) as error:
        load("cifar10", cifar.parent)
    assert str(path) in str(error.value)


def test_a_split_file_that_may_not_be_read_is_named(open_folder: Path, without_privileges: Nobody) -> None:
    write_cifar10(open_folder)
    path = write_split(open_folder / FOLDER_NAME / "cifar-split.txt", train=range(50), valid=range(50, 100))
    path.chmod(0)
    with without_privileges(), pytest.raises(TaskError, match=rf"{path} cannot be read \(Permission denied\); fix"):
        load("cifar10", open_folder)


# The published files


def test_the_md5_numbers_are_those_torchvision_checks() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100

    assert list(map(list, paper_sets.CIFAR10_MD5.items())) == CIFAR10.train_list
    assert list(map(list, paper_sets.CIFAR10_TEST_MD5.items())) == CIFAR10.test_list
    assert list(map(list, paper_sets.CIFAR100_MD5.items())) == [*CIFAR100.train_list, *CIFAR100.test_list]


def test_files_that_are_not_the_published_ones_are_named(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hashlib import md5

    published = {path.name: md5(path.read_bytes()).hexdigest() for path in cifar.glob("data_batch_*")}
    monkeypatch.setattr(paper_sets, "CIFAR10_MD5", dict(sorted(published.items())))
    assert not any("MD5" in notice for notice in load("cifar10", cifar.parent).report.notices)
    for name in ("data_batch_2", "data_batch_4"):
        (cifar / name).write_bytes((cifar / name).read_bytes() + b"\0")
    notices = load("cifar10", cifar.parent).report.notices
    assert f"In {cifar}, data_batch_2, data_batch_4 differ from the published files (MD5)." in notices
    assert (
        f"In {cifar}, test_batch differs from the published file (MD5)." in exam("cifar10", cifar.parent).report.notices
    )


# The test split


@pytest.mark.parametrize("name", WRITERS)
def test_a_search_has_no_images_it_could_confirm_itself_with(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    task = load(name, tmp_path)
    assert not task.held_out_is_open
    assert task.report.num_held_out is None
    with pytest.raises(TaskError, match=f"{name} has no held-out images but a published test split; --final-test"):
        task.held_out()


def test_a_task_without_a_published_test_split_has_no_final_exam(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="--final-test: digits has no published test split"):
        exam_of = TASKS["digits"]
        load_final_task("digits", data=tmp_path, defaults=exam_of)


def test_the_test_batch_is_opened_by_the_exam_alone(cifar: Path) -> None:
    with Watch(cifar / "test_batch") as watch:
        load("cifar10", cifar.parent)
        assert watch.num_opened() == 0
        exam("cifar10", cifar.parent)
        assert watch.num_opened() > 0


@pytest.mark.parametrize(
    ("name", "file"), [("cifar100", "cifar-100-python/test"), ("imagenet16-120", "ImageNet16/val_data")]
)
def test_the_test_half_of_a_file_changes_nothing_in_a_search(tmp_path: Path, name: str, file: str) -> None:
    WRITERS[name](tmp_path)
    before, examined = load(name, tmp_path), exam(name, tmp_path)
    batch = pickle.loads((tmp_path / file).read_bytes())
    key = next(key for key in batch if key in ("data", b"data"))
    of_the_test = set(numbers_of(examined.validation))
    for row in batch[key]:
        if int(row[0]) * 256 + int(row[1]) in of_the_test:
            row[2:] = 7
    (tmp_path / file).write_bytes(pickle.dumps(batch, protocol=2))
    after = load(name, tmp_path)
    assert after.digest == before.digest
    assert exam(name, tmp_path).digest != examined.digest
