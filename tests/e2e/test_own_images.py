"""A search on a folder of images: from class folders to a best network under limits nobody stated."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairnad.errors import StoppingError
from fairnad.formatting import quantity_text
from graphs.cli import report_command
from graphs.cli.search_command import main
from graphs.runtime import assembly, inputs
from graphs.runtime.limits import read_budgets
from prompts.loader import load_pack
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.networks import costs, network
from tests.published_data import PUBLISHED, needs_published
from tools.datasets import tasks

TASK = """
[folder]
base = "tiny"
recipe = "quick"
max_params = 0
max_flops = 0
image_size = 0
num_train = 0
num_validation = 0
flip_probability = 0.5
crop_padding = 4
"""


@pytest.fixture(scope="session")
def own_pack(pack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task of own images with a tiny base."""
    folder = tmp_path_factory.mktemp("own") / "pack"
    shutil.copytree(pack, folder)
    (folder / "tasks.toml").write_text(TASK)
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four classes of 30 images, one quadrant bright, and four spoiled files."""
    folder = tmp_path / "my quadrants"
    generator = np.random.default_rng(0)
    for label in range(4):
        (folder / f"quadrant {label}").mkdir(parents=True)
        for number in range(30):
            pixels = generator.integers(120, size=(8, 8), dtype=np.uint8)
            row, column = 4 * (label // 2), 4 * (label % 2)
            pixels[row : row + 4, column : column + 4] += 100
            Image.fromarray(pixels).save(folder / f"quadrant {label}" / f"{number}.png")
    (folder / "quadrant 0" / "empty.png").touch()
    (folder / "quadrant 1" / "notes.txt").write_text("no image")
    (folder / "quadrant 2" / "cut.png").write_bytes((folder / "quadrant 2" / "0.png").read_bytes()[:60])
    shutil.copy(folder / "quadrant 3" / "0.png", folder / "quadrant 3" / "again.png")
    return folder


@pytest.fixture
def told(flags, own_pack: Path, data: Path):
    def make(**settings: object) -> list[str]:
        made = flags(**{"pack": own_pack, "task": "folder", "data": data, **settings})
        if "run" not in settings:
            place = made.index("--run")
            del made[place : place + 2]
        return made

    return make


def test_a_folder_is_searched_under_limits_derived_from_the_base(told, tmp_path: Path, capsys) -> None:
    assert main(told(**{"search.confirm_seeds": 1})) == 0
    out = capsys.readouterr().out
    assert (
        "4 classes, images of 8×8: 72 to train on, 24 to validate and 24 held out. Classes, with images to train on: "
        "quadrant 0 (18), quadrant 1 (18), quadrant 2 (18) and quadrant 3 (18). Files left out: "
        "1 empty (quadrant 0/empty.png), 1 no image (quadrant 1/notes.txt), 1 broken (quadrant 2/cut.png), "
        "1 duplicate (quadrant 3/again.png). Limits: " in out
    )
    folder = tmp_path / "runs" / "my-quadrants-0"
    noted = json.loads((folder / "task.json").read_text())
    assert list(noted["class_counts"]) == [f"quadrant {label}" for label in range(4)]
    assert noted["num_held_out"] == 24
    store = SqliteHistory(folder / FILE_NAME, read_only=True)
    params, flops = read_budgets(store) or ()
    base = store.records()[0].evaluation
    store.close()
    assert base is not None
    assert base.costs["params"] == costs() - 6 * 9
    assert (params.limit, flops.limit) == (4 * base.costs["params"], 4 * base.costs["flops"])
    assert report_command.main([str(folder)]) == 0
    assert f"at most {quantity_text(params.limit)}" in (folder / "report.html").read_text()


def test_a_resumed_search_keeps_the_limits_it_was_begun_with(told, tmp_path: Path, capsys) -> None:
    base = tmp_path / "base.py"
    base.write_text(network())
    assert main(told(base=base)) == 0
    before = capsys.readouterr().out.partition("Limits: ")[2].splitlines()[0]
    base.write_text(network(width=9))
    assert main(told(base=base, archs=2)) == 0
    assert capsys.readouterr().out.partition("Limits: ")[2].splitlines()[0] == before


def test_what_is_stated_is_not_derived(told, tmp_path: Path, capsys) -> None:
    assert main(told(max_params="2k", run="stated")) == 0
    assert "Limits: 2k parameters and " in capsys.readouterr().out
    assert report_command.main([str(tmp_path / "runs" / "stated")]) == 0
    assert "at most 2k" in (tmp_path / "runs" / "stated" / "report.html").read_text()


def test_a_base_that_does_not_run_ends_the_search_before_it_begins(told, tmp_path: Path, capsys) -> None:
    base = tmp_path / "base.py"
    base.write_text(network(pooled=2))
    assert main(told(base=base)) == 2
    assert "the base model cannot be used: execute: " in capsys.readouterr().err


def test_mirroring_and_size_are_settings(told, tmp_path: Path, capsys) -> None:
    assert main(told(flip=0, image_size=16, run="sized")) == 0
    assert "images of 16×16" in capsys.readouterr().out
    assert main(told(flip=0.5, image_size=16, run="sized")) == 2
    assert "--flip (was 0.0, now 0.5)" in capsys.readouterr().err


def test_changed_images_are_not_mixed_with_the_old(told, data: Path, capsys) -> None:
    assert main(told()) == 0
    capsys.readouterr()
    Image.new("L", (8, 8), 77).save(data / "quadrant 0" / "new.png")
    assert main(told(archs=2)) == 2
    error = capsys.readouterr().err
    assert "the data, torch or the device have changed; choose another --run" in error


def test_a_folder_that_is_missing_is_told_in_one_line(told, tmp_path: Path, capsys) -> None:
    assert main(told(data=tmp_path / "nowhere")) == 2
    error = capsys.readouterr().err
    assert error == f"error: --data {tmp_path}/nowhere: expected a folder of class folders, found nothing there\n"


def test_a_plan_names_the_classes_and_what_is_left_out(told, capsys) -> None:
    assert main([*told(), "--dry-run"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "classes quadrant 0 (18), quadrant 1 (18), quadrant 2 (18) and quadrant 3 (18), training images" in lines
    assert any(line.startswith("left out 1 empty (quadrant 0/empty.png), 1 no image") for line in lines)
    assert main([*told(), "--dry-run", "--json"]) == 0
    images = json.loads(capsys.readouterr().out)["images"]
    assert images["class_counts"] == {f"quadrant {label}": 18 for label in range(4)}
    assert (images["left_out"]["duplicate"], images["notices"]) == (1, [])


def test_a_size_below_the_least_ends_it_before_anything_is_read(told, capsys) -> None:
    assert main(told(image_size=4)) == 2
    error = "error: --image-size: expected 8 pixels or more, found 4; raise it, or omit it\n"
    assert capsys.readouterr().err == error


def test_slow_reading_is_reported(context, own_pack: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    told = threading.Event()

    def say(place: str, stop: threading.Event) -> None:
        say_reading(place, stop)
        told.set()

    say_reading = inputs._print_reading
    monkeypatch.setattr(inputs, "_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(inputs, "_print_reading", say)
    monkeypatch.setattr(tasks, "load_task", lambda *_, **__: told.wait(20))
    settings = context(pack=own_pack, task="folder", data=data)
    assert inputs._load_task(settings, inputs.task_defaults(settings), threading.Event())
    assert capsys.readouterr().err == f"reading the images in {data}; this is done once\n"


async def test_whoever_stops_waiting_for_a_task_ends_the_reading(
    context, own_pack: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def read(*_: object, stop: threading.Event, **__: object) -> None:
        begun.set()
        if stop.wait(20):
            ended.set()
            raise StoppingError("stopped")

    monkeypatch.setattr(tasks, "load_task", read)
    settings = context(pack=own_pack, task="folder", data=data)
    task = asyncio.create_task(assembly.open_services(settings))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(ended.wait, 20)


@needs_published
def test_photographs_in_class_folders_are_read(told, tmp_path: Path) -> None:
    """The small CIFAR-10 written out as JPEG files, so that a whole folder goes through every step of reading."""
    known = load_pack("vision").tasks
    mini = PUBLISHED / "cifar10_mini"
    pictures = tasks.load_task("cifar10", data=mini, defaults=replace(known["cifar10"], num_train=400)).train
    folder = tmp_path / "photographs"
    for number, (image, label) in enumerate(zip(pictures.images, pictures.labels, strict=True)):
        path = folder / f"kind {label}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(path, quality=95)
    read = tasks.load_task("folder", data=folder, defaults=known["folder"], cache=tmp_path / "cache")
    assert (read.image_size, read.num_classes, len(read.train)) == (32, 10, 240)
    assert read.mean == pytest.approx(pictures.images.mean(axis=(0, 2, 3)) / 255, abs=0.02)
