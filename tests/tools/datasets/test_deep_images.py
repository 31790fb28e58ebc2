"""Images of more than 8 bits: one range for all of a folder, and it is that of the training images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairnad.domain.task import LeftOut
from fairnad.errors import TaskError
from tests.tools.datasets.data_files import write_classes
from tools.datasets.tasks import Task


def write_deep(folder: Path, low: float, high: float, dtype: type[np.number], count: int = 6, seed: int = 0) -> None:
    """Noise in a range, each image with both of its ends."""
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        values = generator.uniform(low, high, (8, 8))
        values[0, :2] = low, high
        Image.fromarray(values.astype(dtype)).save(folder / f"{number}.tif")


@pytest.mark.parametrize(("dtype", "mode"), [(np.float32, "F"), (np.int32, "I")])
def test_brightness_tells_classes_apart_after_scaling(
    data: Path, load: Callable[..., Task], dtype: type[np.number], mode: str
) -> None:
    """Scaled one by one, dim and bright images would look the same."""
    write_deep(data / "dim", 0, 1000, dtype)
    write_deep(data / "bright", 1000, 100_000, dtype, seed=1)
    task = load(image_size=0)
    assert task.ranges[mode] == (0, 100_000)
    means = [task.train.images[task.train.labels == label].mean() for label in (0, 1)]
    assert task.class_names == ("bright", "dim")
    assert means[0] > 100
    assert means[1] < 3
    [notice] = task.report.notices
    assert notice.endswith("the range of the training images, 0 to 100000, is mapped to 0 to 255.")


def test_floating_point_numbers_up_to_one_are_not_black(data: Path, load: Callable[..., Task]) -> None:
    for seed, name in enumerate("ab"):
        write_deep(data / name, 0, 1, np.float32, seed=seed)
    task = load()
    assert task.train.images.min() == 0
    assert task.train.images.max() == 255
    assert task.train.images.std() > 50


def test_the_range_is_that_of_the_images_to_train_on(data: Path, load: Callable[..., Task]) -> None:
    for seed, name in enumerate("ab"):
        write_deep(data / "train" / name, 0, 1, np.float32, seed=seed)
        write_deep(data / "test" / name, 0, 500, np.float32, count=2, seed=10 + seed)
    task = load()
    assert task.ranges["F"] == (0, 1)
    assert np.mean(task.held_out().images == 255) > 0.9
    digest = task.digest
    write_deep(data / "test" / "a", 0, 900, np.float32, count=2, seed=20)
    assert load().digest == digest, "what is held out decides nothing"


def test_each_seed_of_the_split_has_its_range_and_its_pixels(data: Path, load: Callable[..., Task]) -> None:
    for label, name in enumerate("ab"):
        for number in range(5):
            write_deep(
                data / name / f"{number}", 0, 1 + number + 5 * label, np.float32, count=1, seed=5 * label + number
            )
    tasks = [load(split_seed=seed) for seed in range(4)]
    assert len({task.ranges["F"] for task in tasks}) > 1
    for seed, task in enumerate(tasks):
        assert task.train.images.max() == 255
        assert load(split_seed=seed).digest == task.digest, "taken from the cache"


def test_broken_deep_images_are_left_out_before_the_range_is_known(data: Path, load: Callable[..., Task]) -> None:
    for seed, name in enumerate("ab"):
        write_deep(data / name, 0, 1, np.float32, seed=seed)
    write_classes(data, {"a": 2})
    png = data / "a" / "00001.png"
    png.write_bytes(png.read_bytes()[:60])
    write_deep(data / "b" / "cut", 0, 99, np.float32, count=1)
    cut = data / "b" / "cut" / "0.tif"
    cut.write_bytes(cut.read_bytes()[:-40])
    task = load()
    assert task.report.left_out == {LeftOut.BROKEN: 2}
    assert task.ranges["F"] == (0, 1)


def test_formats_that_are_not_read_are_counted_with_what_to_do(data: Path, load: Callable[..., Task]) -> None:
    write_classes(data, {"cat": 5, "dog": 5})
    for name in ("cat/1.HEIC", "cat/2.heif", "dog/3.jpg"):
        (data / name).write_bytes(b"\0\0\0\x18ftypheic" + name.encode())
    (data / "dog" / "4.svg").write_text("<svg/>")
    report = load().report
    assert report.left_out == {LeftOut.FOREIGN: 4}
    assert report.examples[LeftOut.FOREIGN] == ("cat/1.HEIC", "cat/2.heif", "dog/3.jpg")
    assert report.notices == (
        "Unsupported formats: HEIC (3 files), SVG (1 file); convert them to JPEG or PNG, HEIC for instance with "
        "pillow-heif or ImageMagick.",
    )
    for path in data.rglob("*.png"):
        path.unlink()
    message = r"found none among 4 files \(4 of a format that is not read\); convert them to JPEG or PNG, HEIC for"
    with pytest.raises(TaskError, match=message):
        load()
