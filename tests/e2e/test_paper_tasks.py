"""The paper's tasks in their published formats: searched, then tested; nothing opens a test split before."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fairnad.records.candidate import BASE_ID
from graphs.cli.search_command import main
from graphs.runtime.ending import FINAL_TEST
from store.history_store import FILE_NAME, SqliteHistory
from tests.tools.datasets.data_files import (
    numbered_images,
    numbers_of,
    write_cifar10,
    write_cifar100,
    write_imagenet16,
    write_split,
)
from tests.tools.watching import Watch
from tools.datasets.paper_sets import FOLDER_NAME
from tools.datasets.tasks import load_final_task

TASK = """
[{name}]
base = "tiny"
recipe = "quick"
max_params = 1e5
max_flops = 1e8
image_size = {image_size}
num_train = 0
num_validation = 0
flip_probability = 0.5
crop_padding = 2
"""
SIZES = {"cifar10": 32, "cifar100": 32, "imagenet16-120": 16}
WRITERS = {"cifar10": write_cifar10, "cifar100": write_cifar100, "imagenet16-120": write_imagenet16}


@pytest.fixture(scope="session")
def paper_pack(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paper's tasks with a tiny base and few epochs."""
    folder = tmp_path_factory.mktemp("paper") / "pack"
    shutil.copytree(pack, folder)
    (folder / "tasks.toml").write_text("".join(TASK.format(name=n, image_size=size) for n, size in SIZES.items()))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def told(flags, paper_pack: Path, data: Path):
    """The flags of a search on a paper task, with a fresh seed to test with."""
    return lambda task, **settings: flags(
        pack=paper_pack, task=task, data=data, **{"search.confirm_seeds": 1, "run": task, **settings}
    )


def noise(num_images: int, shape: tuple[int, ...], first: int) -> np.ndarray:
    """Numbered images that can be learned from without a network growing numb."""
    images = np.random.default_rng(first).integers(256, size=(num_images, *shape), dtype=np.uint8)
    images[:, :2] = numbered_images(num_images, shape, first)[:, :2]
    return images


def records(folder: Path) -> list[object]:
    store = SqliteHistory(folder / FILE_NAME, read_only=True)
    try:
        return [
            (record.candidate_id, record.source, record.evaluation and record.evaluation.accuracy)
            for record in store.records()
        ]
    finally:
        store.close()


def final_test_steps(folder: Path) -> list[object]:
    store = SqliteHistory(folder / FILE_NAME, read_only=True)
    try:
        return list(store.find_steps(FINAL_TEST, 0))
    finally:
        store.close()


@pytest.mark.parametrize("task", WRITERS)
def test_a_task_is_searched_and_then_tested(told, data: Path, tmp_path: Path, task: str, capsys) -> None:
    WRITERS[task](data, make=noise)
    assert main(told(task)) == 0
    assert "the test split was not used" in capsys.readouterr().out
    folder = tmp_path / "runs" / task
    assert not (folder / "final_test.json").exists()
    assert main(["--run", task, "--runs", str(tmp_path / "runs"), "--final-test"]) == 0
    result = json.loads((folder / "final_test.json").read_text())
    assert result["task"] == task
    assert result["recipe"]["num_epochs"] == 1
    assert BASE_ID in result["accuracies"], "the base, and the winner where it is another"
    assert {len(accuracies) for accuracies in result["accuracies"].values()} == {1}
    out = capsys.readouterr().out
    assert "test accuracy" in out
    assert f"trained on {result['num_train']:,} images by recipe quick (1 epochs)" in out
    assert {"cifar10": (100, 20), "cifar100": (400, 100), "imagenet16-120": (480, 120)}[task] == (
        result["num_train"],
        result["num_test"],
    )


def test_no_process_of_a_search_opens_the_test_batch(told, data: Path, capsys) -> None:
    """The kernel counts: whatever process of the search opened the file would be seen."""
    batch = write_cifar10(data, make=noise) / "test_batch"
    with Watch(batch) as watch:
        assert main(told("cifar10")) == 0
        assert watch.num_opened() == 0
        assert main([*told("cifar10"), "--final-test"]) == 0
        assert watch.num_opened() > 0, "the watch sees what opens the file"


def test_a_search_needs_no_test_batch_and_the_final_test_does(told, data: Path, capsys) -> None:
    batch = write_cifar10(data, make=noise) / "test_batch"
    content = batch.read_bytes()
    batch.unlink()
    assert main(told("cifar10")) == 0
    capsys.readouterr()
    assert main([*told("cifar10"), "--final-test"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "test_batch cannot be read (No such file or directory)" in error
    batch.write_bytes(content)
    assert main([*told("cifar10"), "--final-test"]) == 0


def test_the_test_half_of_a_file_changes_nothing_in_a_search(
    told, data: Path, tmp_path: Path, paper_pack: Path
) -> None:
    task, file = "cifar100", "cifar-100-python/test"
    from prompts.loader import load_pack

    WRITERS[task](data, make=noise)
    exam = load_final_task(task, data=data, defaults=load_pack(str(paper_pack)).tasks[task])
    in_the_test = set(numbers_of(exam.validation))
    assert main(told(task, run="before")) == 0
    batch = pickle.loads((data / file).read_bytes())
    for row in batch[next(key for key in batch if key in ("data", b"data"))]:
        if int(row[0]) * 256 + int(row[1]) in in_the_test:
            row[2:] = 0
    (data / file).write_bytes(pickle.dumps(batch, protocol=2))
    assert main(told(task, run="after")) == 0
    assert records(tmp_path / "runs" / "before") == records(tmp_path / "runs" / "after")
    for scratch in (tmp_path / "runs").glob("*/scratch"):
        shown = [np.load(path) for path in scratch.rglob("*images.npy")]
        assert shown, "the jobs' images are still there"
        for images in shown:
            seen = {int(image[0, 0, 0]) * 256 + int(image[0, 0, 1]) for image in images}
            assert not seen & in_the_test


def test_after_its_final_test_a_search_takes_no_more_candidates_and_no_second_test(
    told, data: Path, tmp_path: Path, capsys
) -> None:
    write_cifar10(data, make=noise)
    assert main(told("cifar10")) == 0
    assert main([*told("cifar10"), "--final-test"]) == 0
    file = tmp_path / "runs" / "cifar10" / "final_test.json"
    first, steps = file.read_text(), final_test_steps(tmp_path / "runs" / "cifar10")
    capsys.readouterr()
    assert main([*told("cifar10"), "--final-test", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == json.loads(first), "one object and nothing else"
    assert main([*told("cifar10"), "--final-test", "--quiet"]) == 0
    assert "final test:" not in (out := capsys.readouterr().out)
    assert "test accuracy" in out
    assert file.read_text() == first
    assert final_test_steps(tmp_path / "runs" / "cifar10") == steps
    batch = data / "cifar-10-batches-py" / "test_batch"
    shutil.copy(data / "cifar-10-batches-py" / "data_batch_1", batch)
    assert main([*told("cifar10"), "--final-test"]) == 2
    assert "was tested by recipe" in capsys.readouterr().err
    assert main(told("cifar10")) == 0, "it can still be looked at"
    capsys.readouterr()
    assert main(told("cifar10", archs=2)) == 2
    error = capsys.readouterr().err
    assert "--archs 2: cifar10 has had its final test, so its search is over; choose another --run" in error


def test_a_final_test_can_be_stopped_and_goes_on(told, data: Path) -> None:
    write_cifar10(data, make=noise)
    assert main(told("cifar10")) == 0
    command = [sys.executable, "-m", "graphs.search", *told("cifar10"), "--final-test"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("final test: ")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert out.splitlines()[-1].startswith("stopped; the same command continues")
    assert main([*told("cifar10"), "--final-test"]) == 0


def test_what_is_not_finished_is_not_tested(told, flags, data: Path, tmp_path: Path, capsys) -> None:
    write_cifar10(data, make=noise)

    def refused(arguments: list[str]) -> str:
        assert main([*arguments, "--final-test"]) == 2
        return capsys.readouterr().err

    assert f"found no run in {tmp_path}/runs/cifar10; search first" in refused(told("cifar10"))
    assert main(told("cifar10")) == 0
    unfinished = refused(told("cifar10", archs=2))
    assert "--final-test: expected a finished search, found an unfinished one in" in unfinished
    assert main(flags(run="digits")) == 0
    assert "--final-test: digits has no published test split; a search on it" in refused(flags(run="digits"))


def test_settings_that_differ_from_those_of_the_search_are_refused(told, data: Path, capsys) -> None:
    write_cifar10(data, make=noise)
    assert main(told("cifar10")) == 0
    assert main([*told("cifar10", epochs=2), "--final-test"]) == 2
    assert "--epochs (was 1, now 2)" in capsys.readouterr().err


def test_a_final_test_cannot_be_tried_out(told, data: Path, tmp_path: Path, capsys) -> None:
    batch = write_cifar10(data, make=noise) / "test_batch"
    assert main(told("cifar10")) == 0
    capsys.readouterr()
    with Watch(batch) as watch:
        assert main([*told("cifar10"), "--final-test", "--dry-run"]) == 2
        assert watch.num_opened() == 0
    expected = "error: --final-test with --dry-run: expected one of them; the test split opens only once\n"
    assert capsys.readouterr().err == expected
    assert not final_test_steps(tmp_path / "runs" / "cifar10")


def test_a_search_on_official_splits_says_nothing_of_others(told, data: Path, capsys) -> None:
    write_cifar10(data, make=noise)
    write_split(data / FOLDER_NAME / "cifar-split.txt", train=range(50), valid=range(50, 100))
    assert main(told("cifar10")) == 0
    out = capsys.readouterr().out
    assert "The official" not in out
    assert "images of 32×32: 50 to train on and 50 to validate." in out
    assert "differ from the published files (MD5)" in out
