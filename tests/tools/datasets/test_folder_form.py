"""What a user's folder may look like, and what is said where it may not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnad.domain.task import LeftOut
from fairnad.errors import StorageError, TaskError
from tests.tools.datasets.data_files import numbers_of, write_classes, write_image
from tools.datasets.tasks import Task

Nobody = Callable[[], contextlib.AbstractContextManager[None]]


# What a user can get wrong


def test_a_folder_that_is_missing(data: Path, load: Callable[..., Task]) -> None:
    with pytest.raises(TaskError, match=rf"--data {data}: expected a folder of class folders, found nothing there"):
        load()
    data.write_text("a file")
    with pytest.raises(TaskError, match="found a file there"):
        load()


def test_a_folder_without_class_folders(data: Path, load: Callable[..., Task]) -> None:
    data.mkdir()
    write_image(data / "1.png", 1)
    with pytest.raises(TaskError, match=rf"{data}: expected two or more class folders with images in them, found none"):
        load()


def test_one_class_alone(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 10})
    with pytest.raises(TaskError, match="expected two or more class folders with images in them, found one, cat"):
        load()


def test_class_folders_without_images(data: Path, load: Callable[..., Task]) -> None:
    for name in ("cat", "dog"):
        (data / name).mkdir(parents=True)
    with pytest.raises(TaskError, match=r"expected images in the class folders, found none among 0 files$"):
        load()
    (data / "cat" / "notes.txt").write_text("x")
    with pytest.raises(TaskError, match=r"found none among 1 file \(1 no image\)$"):
        load()


def test_images_that_are_all_damaged(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 4, "dog": 4})
    for path in data.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(TaskError, match=r"class cat has 0 usable images \(4 broken\); expected 3 or more"):
        load()


def test_a_class_with_too_few_images_is_named_with_what_was_left_out(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 10, "dog": 2})
    (data / "dog" / "empty.png").touch()
    message = r"class dog has 2 usable images \(1 empty\); expected 3 or more: add images or remove the folder"
    with pytest.raises(TaskError, match=message):
        load()


def test_a_class_without_training_images_is_named(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"cat": 10, "dog": 10})
    (data / "train" / "eel").mkdir()
    write_classes(data / "val", {"cat": 5, "dog": 5, "eel": 5}, 20)
    with pytest.raises(TaskError, match="class eel has 5 usable images, 0 of them for training; expected 3 or more"):
        load()


def test_validation_classes_that_the_training_folder_lacks(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"cat": 10, "dog": 10})
    write_classes(data / "val", {"cat": 4, "dgo": 4, "eel": 1}, 20)
    message = rf"{data}/val has classes that {data}/train lacks: dgo, eel; name the folders alike, or remove them"
    with pytest.raises(TaskError, match=message):
        load()


def test_images_that_no_disk_holds_are_refused_before_one_is_filled(
    tmp_path: Path, data: Path, load: Callable[..., Task]
) -> None:
    write_classes(data, {"cat": 5, "dog": 5})
    message = r"decoded images to, but: 3,000,000,000,000,000 bytes are needed and [\d,]+ are left; make room"
    with pytest.raises(StorageError, match=message):
        load(image_size=10_000_000)
    assert {path.suffix for path in (tmp_path / "cache").rglob("*.*")} == {".json"}


def test_images_that_are_sorted_into_parts_and_into_no_classes(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"train": 5, "test": 5})
    with pytest.raises(TaskError, match=rf"{data}/train: expected two or more class folders .*, found none; sort the"):
        load()


def test_parts_without_one_to_train_on(data: Path, load: Callable[..., Task]) -> None:
    for part in ("test", "val"):
        write_classes(data / part, {"cat": 5, "dog": 5})
    message = rf"{data}: expected class folders, or a folder train/ with class folders, found only test, val"
    with pytest.raises(TaskError, match=message):
        load()


def test_two_validation_folders(data: Path, load: Callable[..., Task]) -> None:
    for part in ("train", "val", "valid"):
        write_classes(data / part, {"cat": 5, "dog": 5})
    with pytest.raises(TaskError, match=rf"{data}: expected one validation folder, found val and valid; merge"):
        load()


def test_other_folders_beside_train_and_val(data: Path, load: Callable[..., Task]) -> None:
    for part in ("train", "val", "labels"):
        write_classes(data / part, {"cat": 5, "dog": 5})
    with pytest.raises(
        TaskError, match=rf"{data}: expected only train/, val/ and test/, found labels beside train/; move the"
    ):
        load()


@pytest.mark.parametrize(("part", "counts", "needed"), [("val", {"cat": 1}, 2), ("test", {"cat": 0}, 1)])
def test_a_part_without_enough_images(
    data: Path, load: Callable[..., Task], part: str, counts: dict[str, int], needed: int
) -> None:
    write_classes(data / "train", {"cat": 10, "dog": 10})
    for name, count in counts.items():
        (data / part / name).mkdir(parents=True)
        write_classes(data / part, {name: count}, 50)
    with pytest.raises(TaskError, match=rf"the {'validation' if part == 'val' else part} folder has \d usable image"):
        load()


def test_a_folder_that_may_not_be_read_is_named(
    open_folder: Path, load: Callable[..., Task], without_privileges: Nobody
) -> None:
    write_classes(open_folder / "data", {"cat": 5, "dog": 5})
    (open_folder / "data" / "dog").chmod(0)
    message = rf"{open_folder}/data/dog cannot be read \(permission denied\); fix its permissions"
    with without_privileges(), pytest.raises(TaskError, match=message):
        load(data=open_folder / "data", cache=open_folder / "cache")


def test_a_folder_that_may_be_listed_and_not_entered_is_left_out_file_by_file(
    open_folder: Path, load: Callable[..., Task], without_privileges: Nobody
) -> None:
    write_classes(open_folder / "data", {"cat": 5, "dog": 5})
    write_classes(open_folder / "data" / "cat", {"closed": 2}, 10)
    (open_folder / "data" / "cat" / "closed").chmod(0o744)
    with without_privileges():
        task = load(data=open_folder / "data", cache=open_folder / "cache")
    assert task.report.left_out == {LeftOut.UNREADABLE: 2}


def test_a_folder_one_above_the_class_folders_is_told_which_is_meant(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "flowers", {"daisy": 5, "rose": 5})
    with pytest.raises(TaskError, match=rf"found one, flowers; did you mean --data {data}/flowers\?"):
        load()


def test_names_of_classes_that_are_no_utf_8_stay_apart(data: Path, load: Callable[..., Task]) -> None:
    for number, name in enumerate((b"caf\xe8", b"caf\xe9")):
        write_classes(data / os.fsdecode(name), {"all": 5}, 5 * number)
    task = load()
    assert task.class_names == ("caf\\xe8", "caf\\xe9")
    assert task.report.class_counts == dict.fromkeys(task.class_names, 3)


def test_a_file_that_may_not_be_read_is_left_out(
    open_folder: Path, load: Callable[..., Task], without_privileges: Nobody
) -> None:
    write_classes(open_folder / "data", {"cat": 5, "dog": 5})
    for number in (1, 6):
        (open_folder / "data" / ("cat" if number < 5 else "dog") / f"{number:05}.png").chmod(0)
    with without_privileges():
        task = load(data=open_folder / "data", cache=open_folder / "cache")
    assert task.report.left_out == {LeftOut.UNREADABLE: 2}


# What could be taken in two ways


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Test"), ("TRAIN", "testing"), ("train", "Testing"), ("training", "test")]
)
def test_parts_go_by_their_usual_names_in_any_case(
    data: Path, load: Callable[..., Task], train: str, test: str
) -> None:
    write_classes(data / train, {"apple 1": 10, "pear": 10})
    write_classes(data / test, {"apple 1": 2, "pear": 2}, 20)
    task = load()
    assert task.class_names == ("apple 1", "pear")
    assert (len(task.train), len(task.validation)) == (16, 4)
    assert sorted(numbers_of(task.held_out())) == [20, 21, 22, 23]


@pytest.mark.parametrize("name", ["Dev", "eval", "Validation"])
def test_images_to_validate_on_go_by_their_usual_names(data: Path, load: Callable[..., Task], name: str) -> None:
    write_classes(data / "Training", {"cat": 10, "dog": 10})
    write_classes(data / name, {"cat": 4, "dog": 4}, 20)
    task = load()
    assert sorted([*numbers_of(task.validation), *numbers_of(task.held_out())]) == list(range(20, 28))


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test", "seg_pred"),
        ("trainset", "TestSet"),
        ("train2017", "val2017"),
        ("train_cats", "train_dogs", "test_cats", "test_dogs"),
    ],
)
def test_folders_named_much_like_parts_are_asked_about(
    data: Path, load: Callable[..., Task], names: tuple[str, ...]
) -> None:
    write_classes(data, dict.fromkeys(names, 5))
    with pytest.raises(
        TaskError, match=r"found \S+, \S+, named like parts of the images; if they are parts, name them"
    ):
        load()


def test_words_in_the_names_of_classes_are_no_parts(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"test tube": 5, "bullet train": 5, "valley": 5, "contest": 5})
    assert len(load().class_names) == 4


def test_a_flat_test_folder_beside_parts(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"cat": 6, "dog": 6})
    write_classes(data, {"test": 4}, 20)
    message = (
        rf"^{data}/test: expected class folders as in {data}/train, found 4 images without; sort them into class "
        "folders, or move test elsewhere to use a share of the others for the held-out images$"
    )
    with pytest.raises(TaskError, match=message):
        load()


@pytest.mark.parametrize("name", ["test", "Testing", "train", "VAL"])
def test_a_part_beside_class_folders_is_asked_about(data: Path, load: Callable[..., Task], name: str) -> None:
    write_classes(data, {"NG": 6, "OK": 6, name: 4})
    message = rf"found {name} beside NG, OK; is {name} a class\? Then rename it. Else move NG, OK into {data}/train and"
    with pytest.raises(TaskError, match=message):
        load()


def test_a_class_may_be_named_for_a_part_where_parts_lie_above_it(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"plane": 10, "train": 10})
    write_classes(data / "test", {"plane": 2}, 20)
    with pytest.raises(TaskError, match=r"/train: expected class folders, found train, named like parts of the images"):
        load()
    write_classes(data / "test", {"train": 2}, 22)
    assert load().class_names == ("plane", "train")


def test_parts_below_the_classes_are_refused(data: Path, load: Callable[..., Task]) -> None:
    for name in ("bottle", "cable"):
        write_classes(data / name, {"train": 5, "test": 5, "ground_truth": 5})
    message = rf"^{data}/bottle: expected images of one class, found test, train in it; put the parts above .* --data"
    with pytest.raises(TaskError, match=message):
        load()


def test_kinds_below_a_class_may_be_named_for_a_part(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "vehicle", {"car": 3, "train": 3})
    write_classes(data / "animal", {"cat": 3, "dog": 3}, 10)
    assert load().class_names == ("animal", "vehicle")


@pytest.mark.parametrize(
    "names", [("images", "masks"), ("train_images", "train_masks"), ("img", "gt"), ("cat", "labels")]
)
def test_images_and_their_masks_are_no_classes(data: Path, load: Callable[..., Task], names: tuple[str, ...]) -> None:
    write_classes(data, dict.fromkeys(names, 6))
    with pytest.raises(
        TaskError, match=rf"^{data}: expected one folder per class, found .*; sort the images into class"
    ):
        load()


def test_masks_that_faces_wear_are_classes(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"mask": 6, "no_mask": 6})
    assert load().class_names == ("mask", "no_mask")


def test_names_that_differ_only_in_case(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"Cat": 6, "dog": 6})
    write_classes(data / "val", {"cat": 6, "dog": 6}, 20)
    with pytest.raises(
        TaskError, match=rf"^{data}/val/cat and {data}/train/Cat differ only in case; rename one of them"
    ):
        load()
    write_classes(data / "train", {"cat": 6}, 40)
    with pytest.raises(TaskError, match=rf"^{data}/train: Cat and cat differ only in case; merge the two folders"):
        load()


def test_a_folder_in_a_folder_in_a_folder(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "archive" / "photos", {"daisy": 5, "rose": 5})
    with pytest.raises(TaskError, match=rf"found one, archive; did you mean --data {data}/archive/photos\?"):
        load()
    write_classes(data / "train" / "train", {"daisy": 5, "rose": 5})
    with pytest.raises(
        TaskError, match=rf"{data}: expected only train/, val/ and test/, found archive beside train/; move"
    ):
        load()
    write_classes(data / "data" / "train" / "train", {"daisy": 5, "rose": 5})
    with pytest.raises(TaskError, match=rf"found one, train; move the folders of {data}/data/train/train to"):
        load(data=data / "data")


@pytest.mark.parametrize("place", ["images", "."])
def test_a_table_of_labels_beside_flat_images(data: Path, load: Callable[..., Task], place: str) -> None:
    write_classes(data, {place: 8})
    (data / "labels.csv").write_text("file,label\n0.png,a\n")
    message = rf"; does {data}/labels.csv hold the labels\? Sort the images into one folder per class, {data}/CLASS/$"
    with pytest.raises(TaskError, match=message):
        load()
