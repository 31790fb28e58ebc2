from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairnad.domain.task import LeftOut
from fairnad.errors import StoppingError, StorageError, TaskError
from tests.tools.datasets.conftest import DEFAULTS
from tests.tools.datasets.data_files import numbers_of, write_classes, write_image
from tools.datasets import image_cache
from tools.datasets.image_folder import derived_size
from tools.datasets.splits import Part, share_out
from tools.datasets.tasks import Task, load_task

FASHION = Path("/usr/share/datasets/fashion-mnist")


def in_split(task: Task) -> tuple[list[int], list[int], list[int]]:
    return tuple(sorted(numbers_of(split)) for split in (task.train, task.validation, task.held_out()))


# Sharing out


def test_class_folders_are_shared_out_class_by_class(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 50, "dog": 100})
    task = load()
    train, validation, held_out = in_split(task)
    assert sorted(train + validation + held_out) == list(range(150))
    assert task.class_names == ("cat", "dog")
    for split, counts in ((task.train, [30, 60]), (task.validation, [10, 20]), (task.held_out(), [10, 20])):
        assert list(np.bincount(split.labels)) == counts
        assert all((number >= 50) == label for number, label in zip(numbers_of(split), split.labels, strict=True))


def test_the_seed_decides_who_is_in_which_split(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 30, "dog": 30})
    first, again, other = load(), load(), load(split_seed=1)
    assert in_split(first) == in_split(again) != in_split(other)
    assert first.digest == again.digest != other.digest
    assert numbers_of(first.train) == numbers_of(again.train)


def test_three_images_a_class_are_enough(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 3, "dog": 3})
    task = load()
    assert [list(np.bincount(split.labels)) for split in (task.train, task.validation, task.held_out())] == [[1, 1]] * 3


@pytest.mark.parametrize("name", ["val", "valid", "validation", "VAL"])
def test_a_split_of_ones_own_is_kept(data: Path, load: Callable[..., Task], name: str) -> None:
    first = write_classes(data / "train", {"cat": 10, "dog": 10})
    second = write_classes(data / name, {"cat": 4, "dog": 4}, first)
    last = write_classes(data / "test", {"cat": 3, "dog": 2}, second)
    assert in_split(load()) == (list(range(first)), list(range(first, second)), list(range(second, last)))


def test_without_test_images_half_of_what_validates_is_held_out(data: Path, load: Callable[..., Task]) -> None:
    first = write_classes(data / "train", {"cat": 10, "dog": 10})
    write_classes(data / "val", {"cat": 6, "dog": 8}, first)
    task = load()
    assert in_split(task)[0] == list(range(20))
    assert [list(np.bincount(split.labels)) for split in (task.validation, task.held_out())] == [[3, 4], [3, 4]]


def test_without_validation_images_a_fifth_of_the_training_images_validates(
    data: Path, load: Callable[..., Task]
) -> None:
    first = write_classes(data / "train", {"cat": 10, "dog": 20})
    last = write_classes(data / "test", {"cat": 2, "dog": 2}, first)
    task = load()
    assert list(np.bincount(task.train.labels)) == [8, 16]
    assert list(np.bincount(task.validation.labels)) == [2, 4]
    assert in_split(task)[2] == list(range(first, last))


def test_a_training_folder_alone_is_shared_out(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"cat": 10, "dog": 10})
    task = load()
    assert (len(task.train), len(task.validation), len(task.held_out())) == (12, 4, 4)


def test_shares_are_disjoint_and_complete_whatever_the_classes_hold() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        labels = np.repeat(np.arange(5), generator.integers(3, 40, size=5))
        shares = share_out(labels, {Part.TRAIN: np.arange(len(labels))}, generator)
        assert sorted(np.concatenate(list(shares.values()))) == list(range(len(labels)))
        assert all(set(labels[indices]) == set(range(5)) for indices in shares.values())


# What is left out


def test_what_cannot_be_used_is_left_out_counted_and_named(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 20, "dog": 20})
    cats, dogs = data / "cat", data / "dog"
    for number in range(3):
        (cats / f"empty{number}.png").touch()
    for number in range(2):
        (dogs / f"notes{number}.txt").write_text("no image")
    (cats / "cut.png").write_bytes((cats / "00001.png").read_bytes()[:60])
    (dogs / "wrong.jpg").write_text("no image either")
    for number in range(4):
        shutil.copy(dogs / "00020.png", dogs / f"copy{number}.png")
    shutil.copy(cats / "00000.png", dogs / "both.png")
    (cats / "dangling.png").symlink_to(tmp := data / "nowhere.png")
    os.mkfifo(cats / "pipe.png")
    write_image(data / "stray.png", 999)
    (data / "README.md").write_text("about")
    assert not tmp.exists()
    task = load()
    assert dict(task.report.left_out) == {
        LeftOut.EMPTY: 3,
        LeftOut.NO_IMAGE: 3,
        LeftOut.BROKEN: 2,
        LeftOut.UNREADABLE: 1,
        LeftOut.DUPLICATE: 4,
        LeftOut.AMBIGUOUS: 2,
        LeftOut.STRAY: 1,
    }
    assert task.report.examples[LeftOut.DUPLICATE] == ("dog/copy0.png", "dog/copy1.png", "dog/copy2.png")
    assert task.report.examples[LeftOut.STRAY] == ("stray.png",)
    assert sorted(number for numbers in in_split(task) for number in numbers) == list(range(1, 40))


def test_an_image_that_is_too_large_is_left_out_undecoded(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 5, "dog": 5})
    Image.new("1", (10_001, 10_000)).save(data / "cat" / "huge.png")
    assert load().report.left_out == {LeftOut.HUGE: 1}


def test_a_copy_in_another_part_is_never_trained_on(data: Path, load: Callable[..., Task]) -> None:
    first = write_classes(data / "train", {"cat": 10, "dog": 10})
    second = write_classes(data / "val", {"cat": 4, "dog": 4}, first)
    write_classes(data / "test", {"cat": 4, "dog": 4}, second)
    shutil.copy(data / "test" / "cat" / f"{second:05}.png", data / "train" / "cat" / "a-leak.png")
    shutil.copy(data / "val" / "cat" / f"{first:05}.png", data / "train" / "cat" / "another-leak.png")
    shutil.copy(data / "test" / "dog" / f"{second + 4:05}.png", data / "val" / "dog" / "one-more.png")
    task = load()
    assert task.report.left_out == {LeftOut.DUPLICATE: 3}
    assert in_split(task) == (list(range(20)), list(range(20, 28)), list(range(28, 36)))


def test_hidden_files_and_what_programs_leave_behind_are_passed_over(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "train", {"cat": 10, "dog": 10})
    write_classes(data / "val", {"cat": 4, "dog": 4}, 20)
    write_classes(data / "__MACOSX" / "train", {"cat": 3})
    write_classes(data / ".ipynb_checkpoints", {"x": 3})
    (data / "train" / "cat" / ".DS_Store").write_bytes(b"\0\1")
    task = load()
    assert len(task.train) == 20
    assert not task.report.left_out


def test_images_lie_at_any_depth_and_behind_links(tmp_path: Path, data: Path, load: Callable[..., Task]) -> None:
    write_classes(data / "cat", {"monday": 5, "tuesday": 5})
    write_classes(tmp_path / "elsewhere", {"dogs": 5}, 10)
    (data / "dog").symlink_to(tmp_path / "elsewhere" / "dogs")
    (data / "cat" / "around").symlink_to(data / "cat")
    (data / "cat" / "everything").symlink_to(data)
    task = load()
    assert not task.report.left_out, "what lies in a folder around it is not taken for a class's own"
    assert sorted(number for numbers in in_split(task) for number in numbers) == list(range(15))


# Size, digest, notices


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([(28, 28)], 32),
        ([(27, 99)], 24),
        ([(3, 3)], 8),
        ([(224, 300)], 64),
        ([(20, 20), (40, 40), (4000, 3000)], 40),
        ([(48, 48)], 48),
    ],
)
def test_the_size_is_the_median_side_in_steps_of_eight_within_bounds(
    sides: list[tuple[int, int]], expected: int
) -> None:
    assert derived_size(np.array(sides)) == expected


def test_images_that_are_too_small_are_refused_with_the_least_size(data: Path, load: Callable[..., Task]) -> None:
    for index, name in enumerate(("cat", "dog")):
        for number in range(5):
            write_image(data / name / f"{number}.png", 10 * index + number, (7, 40))
    message = rf"^{data}: expected images of 8 pixels a side or more, found 7 \(.*; use larger ones, or .*-size 8$"
    with pytest.raises(TaskError, match=message):
        load(image_size=0)
    assert load(image_size=8).train.images.shape == (6, 3, 8, 8)


def test_the_size_comes_from_the_images_unless_it_is_asked_for(data: Path, load: Callable[..., Task]) -> None:
    for index, name in enumerate(("cat", "dog")):
        for number in range(5):
            write_image(data / name / f"{number}.png", 10 * index + number, (50, 40))
    task = load(image_size=0)
    assert (task.image_size, task.crop_padding) == (40, 5)
    assert task.train.images.shape == (6, 3, 40, 40)
    asked = load(image_size=20)
    assert (asked.image_size, asked.crop_padding) == (20, 2)
    assert asked.held_out().images.shape == (2, 3, 20, 20)
    assert task.digest != asked.digest


def test_mean_and_deviation_are_those_of_the_training_images(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 20, "dog": 20})
    task = load()
    pixels = task.train.images.transpose(1, 0, 2, 3).reshape(3, -1) / 255
    assert task.mean == pytest.approx(pixels.mean(axis=1), abs=1e-6)
    assert task.std == pytest.approx(pixels.std(axis=1), abs=1e-6)


def test_the_digest_is_of_the_contents_and_not_of_the_place(
    tmp_path: Path, data: Path, load: Callable[..., Task]
) -> None:
    write_classes(data, {"cat": 10, "dog": 10})
    before = load().digest
    shutil.copytree(data, tmp_path / "copy", copy_function=shutil.copyfile)
    assert load(data=tmp_path / "copy").digest == before
    write_image(data / "cat" / "00003.png", 700)
    assert load().digest != before


def test_the_report_counts_and_tells_what_is_worth_knowing(data: Path, load: Callable[..., Task]) -> None:
    first = write_classes(data / "train", {"cat": 40, "dog": 5, "eel": 5})
    write_classes(data / "val", {"cat": 4, "dog": 4}, first)
    write_classes(data / "test", {"cat": 4}, 70)
    for number in range(90, 93):
        write_image(data / "train" / "dog" / f"{number}.png", number, (40, 8))
    Image.new("L", (8, 8), 7).save(data / "train" / "cat" / "lens cap.png")
    report = load().report
    assert (report.task, report.place, report.image_size) == ("folder", str(data), 8)
    assert (report.num_train, report.num_validation, report.num_held_out) == (54, 8, 4)
    assert report.class_counts == {"cat": 41, "dog": 8, "eel": 5}
    assert report.imbalance == 41 / 5
    assert report.notices == (
        "3 of 66 images are over 2 times as long as wide: only their middle is used.",
        "4 images of a single colour (train/cat/lens cap.png, …): nothing can be learned from them.",
        "Classes without a validation image: eel.",
    )


def test_class_names_that_are_no_utf_8_can_be_printed(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"caf\udce9": 5, "日本": 5})
    assert load().class_names == ("caf\\xe9", "日本")


# The cache


def test_a_second_start_decodes_nothing(data: Path, load: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> None:
    write_classes(data, {"cat": 10, "dog": 10})
    (data / "cat" / "cut.png").write_bytes((data / "cat" / "00001.png").read_bytes()[:60])
    first = load(image_size=0)

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    for name in ("scan", "decode_into"):
        monkeypatch.setattr(image_cache, name, refuse)
    second = load(image_size=0)
    assert second.digest == first.digest
    assert second.report == first.report
    np.testing.assert_array_equal(second.held_out().images, first.held_out().images)
    (data / "cat" / "00003.png").touch()
    with pytest.raises(AssertionError, match="decoded again"):
        load(image_size=0)


def test_what_was_kept_of_older_contents_is_removed(tmp_path: Path, data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 10, "dog": 10})
    shutil.copytree(data, tmp_path / "other")
    before, _ = load(), load(data=tmp_path / "other")
    kept = set((tmp_path / "cache").iterdir())
    write_image(data / "cat" / "new.png", 500)
    load()
    now = set((tmp_path / "cache").iterdir())
    assert len(kept) == len(now) == 2
    assert len(kept & now) == 1, "another folder's images stay"
    assert len(before.held_out()) == 4, "a task in use still has its images"


@pytest.mark.parametrize("damage", ["scan.json", "8.json", "8.npy"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, data: Path, load: Callable[..., Task], damage: str) -> None:
    write_classes(data, {"cat": 10, "dog": 10})
    before = load()
    [kept] = (tmp_path / "cache").iterdir()
    (kept / damage).write_bytes((kept / damage).read_bytes()[:9])
    assert load().digest == before.digest


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path, data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 10, "dog": 10})
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="expected a folder to write decoded images to, but: not a directory"):
        load()


def test_reading_ends_when_it_is_told_to_stop(tmp_path: Path, data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 10, "dog": 10})
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppingError):
        load(stop=stop)
    assert not list((tmp_path / "cache").rglob("*.npy*"))


def test_memory_stays_near_the_decoded_size(data: Path, tmp_path: Path, load: Callable[..., Task]) -> None:
    """Decoded pixels lie in a mapped file, so that what is held is the splits and what a few threads decode."""
    import tracemalloc

    write_classes(data, {"cat": 150, "dog": 150})
    size = 64
    decoded = 300 * 3 * size * size
    load(image_size=size)  # what is imported at first use does not count
    shutil.rmtree(tmp_path / "cache")
    tracemalloc.start()
    try:
        load(image_size=size)
        assert tracemalloc.get_traced_memory()[1] < 3 * decoded
    finally:
        tracemalloc.stop()


# Real images


@pytest.mark.skipif(not FASHION.is_dir(), reason="Fashion-MNIST is not on this machine")
def test_a_folder_of_real_images_with_spoiled_files_in_it(
    data: Path, load: Callable[..., Task], tmp_path: Path
) -> None:
    images = load_task("fashion-mnist", data=tmp_path, defaults=replace(DEFAULTS, image_size=28, num_train=600)).train
    for number, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        path = data / f"kind {label}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    spoil(data)
    task = load(image_size=0)
    assert task.image_size == 32
    assert sum(task.report.left_out.values()) == 20
    assert len(task.train) + len(task.validation) + len(task.held_out()) == 600
    assert task.report.class_counts == {f"kind {label}": 36 for label in range(10)}


def spoil(data: Path) -> None:
    """Twenty files no task should use."""
    folder, other = data / "kind 0", data / "kind 1"
    whole = sorted(folder.glob("*.png"))
    for number in range(5):
        (folder / f"empty{number}.png").touch()
        (folder / f"cut{number}.png").write_bytes(whole[number].read_bytes()[:100])
        (other / f"text{number}.txt").write_text(f"no image {number}")
    for number in range(4):
        shutil.copy(whole[number], folder / f"copy{number}.png")
    Image.new("1", (20_000, 6_000)).save(folder / "huge.png")
