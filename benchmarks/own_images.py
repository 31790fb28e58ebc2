"""From a folder of images to a network that predicts without this project, by the command in the README.

    python -m benchmarks.own_images FOLDER [-- --archs 32 ...]

Writes 3,000 images of Fashion-MNIST's training set (see the README for where it is looked for) as files in class
folders of FOLDER, 20 spoiled files among them, searches them, takes the result folder elsewhere and lets its program
predict Fashion-MNIST's test images, which were never in the folder. Prints what was left out, costs against limits,
base and winner over the fresh seeds, and the accuracy of the program. What follows ``--`` are flags of the search.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from PIL import Image

from prompts.loader import load_pack
from tools.datasets.splits import Split, stratified_order
from tools.datasets.tasks import Task, load_task

NUM_IMAGES = 3000
NUM_NEW = 200
RUN = "own-images"


def main() -> None:
    """Make the folder, search, predict, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to create; an existing one is reused")
    parser.add_argument("--data", type=Path, default=Path("data"), help="where Fashion-MNIST lies")
    parser.add_argument("flags", nargs="*", help="flags of the search")
    asked = parser.parse_args()
    clothes = load_task("fashion-mnist", data=asked.data, defaults=load_pack("vision").tasks["fashion-mnist"])
    images = asked.folder / "images"
    if not images.exists():
        write_images(some_of(clothes.train, NUM_IMAGES), clothes, images)
        spoil(images)
    runs = asked.folder / "runs"
    command = ["-m", "graphs.search", "--task", "folder", "--data", str(images), "--runs", str(runs), "--run", RUN]
    subprocess.run([sys.executable, *command, *asked.flags], check=True)
    print_results(runs / RUN, accuracy_elsewhere(runs / RUN / "result", some_of(clothes.held_out(), NUM_NEW), clothes))


def some_of(split: Split, number: int) -> Split:
    """A stratified sample, the same every time."""
    return split.take(stratified_order(split.labels, np.random.default_rng(0))[:number])


def write_images(split: Split, task: Task, folder: Path) -> None:
    """Write one PNG file per image, in class folders."""
    for number, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
        path = folder / task.class_names[label] / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)


def spoil(folder: Path) -> None:
    """Add 20 files of five kinds that a search must leave out."""
    classes = sorted(folder.iterdir())
    for number in range(4):
        home, other = classes[number], classes[number + 4]
        good = sorted(home.glob("0*.png"))
        (home / f"empty{number}.jpg").touch()
        (home / f"broken{number}.png").write_bytes(good[0].read_bytes()[:90])
        (home / f"text{number}.jpg").write_text("no image\n")
        shutil.copy(good[1], home / f"copy{number}.png")
        shutil.copy(good[2], other / f"contradiction{number}.png")


def accuracy_elsewhere(result: Path, new: Split, task: Task) -> float:
    """The accuracy of a result folder's program on new images, run outside this project."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        shutil.copytree(result, place / "result")
        write_images(new, task, place / "new")
        files = sorted((place / "new").glob("*/*.png"))
        command = [sys.executable, "-P", "result/best.py", "--json", *map(str, files)]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=True)
    answers = [answer["predictions"][0]["label"] for answer in json.loads(done.stdout)]
    return float(np.mean([label == file.parent.name for label, file in zip(answers, files, strict=True)]))


def print_results(run: Path, accuracy: float) -> None:
    """Print the results."""
    command = [sys.executable, "-m", "graphs.search", "best", "--runs", str(run.parent), "--run", run.name, "--json"]
    best = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print("left out:", json.loads((run / "task.json").read_text())["left_out"])
    print("limits:", best["limits"], "costs:", best["costs"])
    for name in ("validation", "held_out"):
        results = {"base": best["base"][name], "winner": best[name]}
        print(f"{name}: " + ", ".join(f"{network} {spread(values)}" for network, values in results.items()))
    print(f"best.py elsewhere, {NUM_NEW} new images: {accuracy:.1%}")


def spread(values: list[float]) -> str:
    """Mean and deviation with n."""
    return f"{mean(values):.1%} ± {stdev(values):.1%} (n={len(values)})" if len(values) > 1 else f"{values}"


if __name__ == "__main__":
    main()
