"""What a person walks away with: finals with fresh seeds, and a folder that predicts on its own."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from fairnad.domain.contract import Contract
from fairnad.formatting import share_text
from fairnad.records.history import History
from fairnad.search.finals import Finals
from fairnad.settings.search_settings import RunContext
from graphs.cli.runner import run
from graphs.cli.search_command import main, parse
from graphs.runtime.registry import release, services
from graphs.runtime.stored_finals import find_finals
from graphs.search.finals import hold_finals
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.conftest import search_flags
from tests.e2e.networks import UNJAILED, network
from tests.e2e.scripts import Script, fenced
from tests.openai_server import ScriptedServer
from tools.jobs.network_source import build_network
from tools.jobs.trainer import predict

OWN_MAIN = """

def main():
    raise SystemExit("the network ran a test of its own")


if __name__ == "__main__":
    main()
"""
SOURCES = [network(width=9, activation=name) + OWN_MAIN for name in ("ReLU", "GELU", "SiLU")]
WEAK_BASE = network(width=2, kernel_size=1)
NOT_EXPORTABLE = "        if x.mean() > 0:\n            x = x + 0\n        return self.head("
SETTINGS: dict[str, object] = {
    "archs": 3,
    "epochs": 10,
    "search.initial": 3,
    "search.finalists": 2,
    "search.confirm_seeds": 2,
    "search.ablate": "judge",
    "llm.model": "scripted",
}


@dataclass(frozen=True)
class Finished:
    """A search that has ended: where, what it printed, and what it recorded."""

    context: RunContext
    folder: Path
    output: str

    @property
    def result(self) -> Path:
        return self.folder / "result"

    @property
    def history(self) -> History:
        with closing(SqliteHistory(self.folder / FILE_NAME, read_only=True)) as store:
            return History(store.records())

    @property
    def finals(self) -> Finals:
        with closing(SqliteHistory(self.folder / FILE_NAME, read_only=True)) as store:
            finals = find_finals(store, self.history)
        assert finals is not None
        return finals

    @property
    def labels(self) -> dict[str, Any]:
        return json.loads((self.result / "labels.json").read_text())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that any candidate is better than."""
    path = tmp_path_factory.mktemp("base") / "base.py"
    path.write_text(WEAK_BASE)
    return path


@contextmanager
def scripted(pack: Path, base: Path, runs: Path, sources: Sequence[str], **settings: object) -> Iterator[list[str]]:
    """The flags of a search whose candidates are these sources, while there is somebody to answer it."""
    with ScriptedServer(Script(mutate=[fenced(source) for source in sources])) as server:
        given = {"pack": pack, "runs": runs, "base": base, "llm.base_url": server.url}
        yield search_flags({**SETTINGS, **given, **settings})


@pytest.fixture(scope="module")
def finished(pack: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One search for all tests that only look at what it left."""
    runs, output = tmp_path_factory.mktemp("runs"), io.StringIO()
    with scripted(pack, base, runs, SOURCES) as flags, redirect_stdout(output):
        assert run(parse(flags)) == 0
    return Finished(parse(flags), runs / "test", output.getvalue())


def spoken(program: Path, *arguments: str, status: int = 0) -> str:
    """What a program says in a fresh process that cannot find this project."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, program.name, *arguments]
    done = subprocess.run(
        command, cwd=program.parent, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done.stdout if not status else done.stdout + done.stderr


@pytest.fixture
def alone(finished: Finished, tmp_path: Path) -> Path:
    """``best.py`` in a copy of the result folder, with a digit beside it that no search has seen."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(finished.result, folder)
    Image.fromarray(digit()).save(folder / "digit.png")
    return folder / "best.py"


def digit() -> np.ndarray:
    """A handwritten digit, uint8 (8, 8)."""
    return np.rint(load_digits().images[-1] * (255 / 16)).astype(np.uint8)


def by_the_lab(finished: Finished, pixels: np.ndarray) -> np.ndarray:
    """The probabilities a prediction of the lab's comes to, float32 (10,)."""
    labels = finished.labels
    source = finished.history[finished.finals.winner_id].source
    network = build_network(source, Contract.for_images(8, 10), seed=labels["seed"])
    network.load_state_dict(load_file(finished.result / "best.safetensors"))
    images = np.repeat(pixels[None, None], 3, axis=1)
    logits = predict(network, images, labels["mean"], labels["std"], batch_size=256, device="cpu")
    return torch.tensor(logits).softmax(1)[0].numpy()


def test_the_copied_folder_predicts_a_digit_in_a_fresh_process_as_the_lab_does(finished, alone):
    (told,) = json.loads(spoken(alone, "digit.png", "--json"))
    assert told["image"] == "digit.png"
    stated = {one["label"]: one["probability"] for one in told["predictions"]}
    expected = by_the_lab(finished, digit())
    np.testing.assert_allclose([stated[str(label)] for label in range(10)], expected, atol=1e-6)
    assert told["predictions"][0]["label"] == str(expected.argmax())
    line = spoken(alone, "digit.png", "--top", "2")
    assert re.fullmatch(rf"digit\.png: {expected.argmax()} 0\.\d\d\d, \d 0\.\d\d\d\n", line)


def test_an_image_that_cannot_be_read_is_told_and_the_others_are_classified(alone):
    (alone.parent / "broken.png").write_bytes(b"no image")
    told = spoken(alone, "broken.png", "missing.png", "digit.png", status=1)
    assert "digit.png: " in told
    assert "error: broken.png: not an image that Pillow can read" in told
    assert "error: missing.png: there is no such file or folder" in told


def test_the_program_imports_nothing_of_this_project(finished):
    tree = ast.parse((finished.result / "best.py").read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(name).split(".")[0] for name in names} == {
        *("argparse", "json", "os", "pathlib", "struct", "sys", "zlib"),
        *("PIL", "safetensors", "torch"),
    }


def test_the_exported_network_says_what_torch_says(finished):
    labels = finished.labels
    assert labels["onnx"] == {"input": "images", "shape": ["any", 3, 8, 8], "type": "float32", "output": "logits"}
    session = onnxruntime.InferenceSession(finished.result / "best.onnx", providers=["CPUExecutionProvider"])
    mean, std = (np.array(labels[name], np.float32).reshape(3, 1, 1) for name in ("mean", "std"))
    images = np.repeat(((np.repeat(digit()[None], 3, axis=0) / 255 - mean) / std)[None], 5, axis=0)
    (logits,) = session.run(["logits"], {"images": images.astype(np.float32)})
    probabilities = torch.tensor(logits).softmax(1).numpy()
    np.testing.assert_allclose(probabilities, [by_the_lab(finished, digit())] * 5, atol=1e-5)


def test_the_winner_is_the_best_mean_on_validation_and_only_it_and_the_base_are_held_out(finished):
    finals, history = finished.finals, finished.history
    assert [one.candidate_id for one in finals.finalists] == [
        *(record.candidate_id for record in history.ranking[:2]),
        history.base.candidate_id,
    ]
    assert all(set(one.validation) == {1, 2} for one in finals.finalists), "seeds that follow the search's own"
    best = max(finals.finalists, key=lambda one: mean(one.validation.values()))
    assert finals.winner_id == best.candidate_id
    held_out = {one.candidate_id for one in finals.finalists if one.held_out}
    assert held_out == {finals.winner_id, finals.base_id}
    assert finals.recipe_digest == history.base.evaluation.recipe_digest


def test_the_shipped_weights_are_those_of_the_best_seed_on_validation(finished):
    seed = finished.labels["seed"]
    assert seed == finished.finals.best_seed
    (kept,) = finished.folder.glob(f"weights/{finished.finals.winner_id}-*-seed{seed}.safetensors")
    assert kept.read_bytes() == (finished.result / "best.safetensors").read_bytes()


def test_the_summary_names_the_folder_and_the_winner(finished):
    lines = " ".join(finished.output.split())
    assert f"winner: {finished.finals.winner_id}, by mean validation accuracy over fresh seeds" in lines
    assert f"result: {finished.result}/ (python {finished.result}/best.py image.jpg)" in lines
    assert "its probabilities equal those of the scored network" in lines
    assert "best.onnx takes any number of images and returns the same logits as torch (largest difference " in lines


def test_the_model_card_says_what_it_is_what_it_costs_and_what_it_is_not_for(finished):
    card = (finished.result / "model_card.md").read_text()
    winner = finished.history[finished.finals.winner_id]
    assert card.startswith(f"# {winner.candidate_id}, an image classifier for digits\n")
    params = winner.evaluation.costs["params"]
    assert f"| params (parameters) | {params:,.0f} | 2,500 | {share_text(params / 2500)} |" in card
    assert card.count("(n=2)") == 3 + 2, "three on validation, two held out"
    assert "Nothing was chosen by the held-out images" in card
    assert "10 classes, images of 8×8: 60 to train on, 200 to validate and 697 held out." in card
    assert f"Recipe quick (digest {winner.evaluation.recipe_digest}): 10 epochs" in card
    assert "## Limits\n" in card
    assert f"torch {torch.__version__.split('+')[0]}" in card
    assert "Run `test`, seed 0" in card


async def test_a_test_split_that_stays_shut_leaves_the_choice_as_it_is(finished):
    bench = await services(finished.context)
    try:
        shorter = replace(bench.recipes[0], num_epochs=1)
        shut = replace(bench, task=replace(bench.task, _load_held_out=None), recipes=[shorter])
        ids = [record.candidate_id for record in finished.history.ranking[:2]]
        finals = await hold_finals(shut, ids[:1])
    finally:
        await release(finished.context)
    assert finals is not None
    assert not any(one.held_out for one in finals.finalists)
    means = {one.candidate_id: mean(one.validation.values()) for one in finals.finalists}
    assert means[finals.winner_id] == max(means.values())


def test_a_screening_is_climbed_rung_by_rung_and_its_finals_are_of_the_highest(pack, base, tmp_path, capsys):
    sources = [source.replace("        return self.head(", NOT_EXPORTABLE) for source in SOURCES]
    promotion = {"epochs": 1, "search.promote": "quick/2", "search.finalists": 1}
    with scripted(pack, base, tmp_path, sources, **promotion, **{"search.confirm_seeds": 1}) as flags:
        assert run(parse(flags)) == 0
    done = Finished(parse(flags), tmp_path / "test", " ".join(capsys.readouterr().out.split()))
    assert "retraining the best candidates with quick" in done.output
    assert "screening and promotion: 3 by quick → 2 by quick; finals by quick" in done.output
    searched = {record.evaluation.recipe_digest for record in done.history.records}
    assert len(searched) == 1 and done.finals.recipe_digest not in searched
    with closing(SqliteHistory(done.folder / FILE_NAME, read_only=True)) as store:
        promoted = dict(store.find_steps(f"promote {done.finals.recipe_digest}", 0))
    assert set(promoted) == {record.candidate_id for record in done.history.ranking[:2]}
    best = max(promoted, key=lambda candidate_id: promoted[candidate_id]["result"]["accuracy"])
    assert [one.candidate_id for one in done.finals.finalists] == [best, done.finals.base_id]
    card = (done.result / "model_card.md").read_text()
    assert "Accuracies of different rungs are not compared" in card
    assert (
        "best.onnx is missing, since the network could not be exported: Could not guard on data-dependent"
        in done.output
    )
    assert not (done.result / "best.onnx").exists()
    assert "onnx" not in done.labels
    assert spoken(done.result / "best.py", "--help").startswith("usage: best.py")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search.promote": "quik"}, "--search.promote: unknown recipe quik; did you mean quick?"),
        (
            {"search.promote": "quick", "epochs": 20},
            "--search.promote: quick with 20 epochs repeats",
        ),
        ({"search.promote": "quick, quick"}, "--search.promote: quick with 20 epochs repeats"),
    ],
)
def test_a_promotion_that_leads_nowhere_is_refused(flags, capsys, settings, message):
    assert main(flags(**settings)) == 2
    assert message in capsys.readouterr().err


def test_finals_that_are_killed_go_on_without_repeating_a_training(pack, base, tmp_path):
    began = tmp_path / "began"
    count = f"""        if self.training and len(x) > 8 and not getattr(self, "counted", False):
            self.counted = True
            with open({str(began)!r}, "a") as file:
                file.write("x")
        return self.head("""
    sources = [
        source.replace("        return self.head(", NOT_EXPORTABLE.replace("        return self.head(", count))
        for source in SOURCES
    ]
    with scripted(pack, base, tmp_path, sources, **{**UNJAILED, "lab.slots": 1}) as flags:
        command = [sys.executable, "-u", "-m", "graphs.search", *flags]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        assert any("retraining base and finalists with 2 fresh seeds" in line for line in process.stdout)
        while not num_retrained(tmp_path / "test"):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        num_done, num_begun = num_retrained(tmp_path / "test"), len(began.read_text())
        assert 0 < num_done < 6
        assert run(parse(flags)) == 0
    assert len(began.read_text()) - num_begun <= 6 - num_done
    assert num_retrained(tmp_path / "test") == 6
    assert (tmp_path / "test" / "result" / "model_card.md").exists()


def num_retrained(folder: Path) -> int:
    """How many trainings of the finals are stored."""
    with closing(SqliteHistory(folder / FILE_NAME, read_only=True)) as store:
        digests = {record.evaluation.recipe_digest for record in store.records() if record.evaluation}
        return sum(len(store.find_steps(f"retrain {digest}", number)) for digest in digests for number in range(2))


def test_a_search_that_goes_on_retrains_only_new_finalists_and_writes_the_folder_anew(pack, base, tmp_path, capsys):
    sources = [source.replace("        return self.head(", NOT_EXPORTABLE) for source in SOURCES]
    settings = {"archs": 2, "epochs": 1, "search.finalists": 1, "search.confirm_seeds": 1}
    with scripted(pack, base, tmp_path, sources, **settings) as flags:
        assert run(parse(flags)) == 0
        (tmp_path / "test" / "result" / "model_card.md").unlink()
        more = [*flags, "--archs", "3"]
        assert run(parse(more)) == 0
    done = Finished(parse(more), tmp_path / "test", "")
    assert "chose these networks from 3 candidates" in " ".join((done.result / "model_card.md").read_text().split())
    assert len(done.finals.finalists) == 2
    card = (done.result / "model_card.md").read_bytes()
    shutil.rmtree(done.result)
    num_done = num_retrained(done.folder)
    assert run(parse(more)) == 0, "a result folder that was taken away is written again"
    assert (done.result / "model_card.md").read_bytes() == card
    assert num_retrained(done.folder) == num_done
