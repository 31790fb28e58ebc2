"""Files of the published sets: formats, damage, and what is missing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from fairnad.errors import TaskError
from tests.published_data import PUBLISHED, needs_published
from tests.tools.datasets.data_files import write_cifar100
from tests.tools.datasets.paper_sets import load
from tests.tools.datasets.test_paper_sets import WRITERS, exam

# The readers


@needs_published
def test_cifar10_reads_batches_that_python_2_wrote() -> None:
    task = load("cifar10", PUBLISHED / "cifar10_mini", image_size=16)
    assert task.train.images.shape == task.validation.images.shape == (2500, 3, 16, 16)
    assert set(np.bincount(task.train.labels)) == {250}
    assert all(50 < task.train.images[:, channel].mean() < 200 for channel in range(3))


def test_colours_stay_in_their_channels(cifar: Path) -> None:
    images = np.repeat(np.array([10, 20, 30], np.uint8), 1024)[None].repeat(20, axis=0)
    for number in range(1, 6):
        batch = {b"data": images, b"labels": [0] * 20}
        (cifar / f"data_batch_{number}").write_bytes(pickle.dumps(batch))
    for size in (32, 12):
        task = load("cifar10", cifar.parent, image_size=size)
        assert [set(np.unique(task.train.images[:, channel])) for channel in range(3)] == [{10}, {20}, {30}]


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("as_array", [False, True])
def test_batches_of_every_pickle_format_are_read(tmp_path: Path, protocol: int, as_array: bool) -> None:
    folder = write_cifar100(tmp_path)
    labels = [index % 100 for index in range(400)]
    batch = {
        "data": np.arange(400 * 3072, dtype=np.uint32).astype(np.uint8).reshape(400, 3072),
        "fine_labels": np.array(labels) if as_array else labels,
        "mean": np.zeros(3072),
    }
    (folder / "train").write_bytes(pickle.dumps(batch, protocol=protocol))
    train = load("cifar100", tmp_path).train
    np.testing.assert_array_equal(train.images.reshape(400, 3072), batch["data"])
    assert list(train.labels) == labels


def test_arrays_in_column_order_are_read_alike(cifar: Path) -> None:
    path = cifar / "test_batch"
    content = pickle.loads(path.read_bytes(), encoding="bytes")
    before = exam("cifar10", cifar.parent).validation
    path.write_bytes(pickle.dumps({**content, b"data": np.asfortranarray(content[b"data"])}))
    np.testing.assert_array_equal(exam("cifar10", cifar.parent).validation.images, before.images)


class Intruder:
    """Would make a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_a_batch_that_would_run_code_is_refused_before_it_does(cifar: Path, tmp_path: Path) -> None:
    (cifar / "data_batch_3").write_bytes(pickle.dumps({b"data": Intruder(tmp_path / "harm"), b"labels": []}))
    with pytest.raises(TaskError, match=r"data_batch_3 is damaged \(it requires posix.mkdir\)"):
        load("cifar10", cifar.parent)
    assert not (tmp_path / "harm").exists()


class Encoded:
    """Asks for an encoding when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        import codecs

        return codecs.encode, ("text", "rot13")


IMAGES = np.zeros((2, 3072), np.uint8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged"),
        (b"\x80\x04 nonsense", "is damaged"),
        (pickle.dumps({b"data": Encoded(), b"labels": []}), r"is damaged \(it requires the encoding rot13\)"),
        (pickle.dumps({b"data": IMAGES}), "a dictionary with data, an array of bytes, and labels"),
        (pickle.dumps([1, 2]), "a dictionary with data, an array of bytes, and labels"),
        (pickle.dumps({b"data": 1, b"labels": [0]}), "a dictionary with data, an array of bytes"),
        (pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}), "a dictionary with data, an array of bytes"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.int16), b"labels": [0, 1]}), "data, an array of bytes"),
        (pickle.dumps({b"data": IMAGES[:, 1:], b"labels": [0, 1]}), r"found \(2, 3071\) bytes"),
        (pickle.dumps({b"data": IMAGES, b"labels": [0]}), r"bytes and 1 labels"),
        (pickle.dumps({b"data": IMAGES, b"labels": [0, 0.5]}), "a list of whole numbers as labels"),
        (pickle.dumps({b"data": IMAGES, b"labels": {0: 1}}), "a list of whole numbers as labels"),
        (pickle.dumps({b"data": IMAGES, b"labels": np.zeros(2)}), "a list of whole numbers as labels"),
        (pickle.dumps({b"data": IMAGES[:1], b"labels": [2**70]}), "a list of whole numbers as labels"),
        (pickle.dumps({b"data": IMAGES, b"labels": [0, 10]}), "labels from 0 to 9"),
        (pickle.dumps({b"data": IMAGES, b"labels": [0, -1]}), "labels from 0 to 9"),
    ],
)  # fmt: skip
def test_a_malformed_batch_is_named(cifar: Path, content: bytes, message: str) -> None:
    (cifar / "data_batch_2").write_bytes(content)
    with pytest.raises(TaskError, match=message) as error:
        load("cifar10", cifar.parent)
    assert str(cifar / "data_batch_2") in str(error.value)


def test_every_cut_of_a_batch_is_named(cifar: Path) -> None:
    path = cifar / "data_batch_5"
    content = path.read_bytes()
    for length in [*range(0, 300, 7), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(TaskError, match="data_batch_5 is damaged"):
            load("cifar10", cifar.parent)


@pytest.mark.parametrize(
    ("name", "folder", "remedy"),
    [
        ("cifar10", "cifar-10-batches-py", "CIFAR10('{data}', download=True)"),
        ("cifar100", "cifar-100-python", "CIFAR100('{data}', download=True)"),
        ("imagenet16-120", "ImageNet16", "https://image-net.org/download-images"),
    ],
)
def test_missing_data_names_the_folder_and_how_to_get_it(tmp_path: Path, name: str, folder: str, remedy: str) -> None:
    with pytest.raises(TaskError) as error:
        load(name, tmp_path)
    assert str(tmp_path / folder) in str(error.value)
    assert remedy.format(data=tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-batches-py/data_batch_4"),
        ("cifar100", "cifar-100-python/test"),
        ("imagenet16-120", "ImageNet16/train_data_batch_7"),
    ],
)
def test_a_missing_batch_is_named(tmp_path: Path, name: str, file: str) -> None:
    WRITERS[name](tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(TaskError, match=rf"{Path(file).name} cannot be read \(No such file or directory\)"):
        load(name, tmp_path)


def test_a_damaged_file_of_class_names_is_named(tmp_path: Path) -> None:
    meta = write_cifar100(tmp_path) / "meta"
    meta.write_bytes(meta.read_bytes()[:40])
    with pytest.raises(TaskError, match="meta is damaged"):
        load("cifar100", tmp_path)


def test_cifar100_numbers_its_classes_where_no_file_names_them(tmp_path: Path) -> None:
    (write_cifar100(tmp_path) / "meta").unlink()
    assert load("cifar100", tmp_path).class_names[:3] == ("0", "1", "2")
