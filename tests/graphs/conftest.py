"""Stored runs made by hand, and golden texts of what people read."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind, Source
from fairnad.ports import Judgement, Proposal, Verdict
from fairnad.records.candidate import Call, CheckReport, Evaluation, Failure, FailureKind, Finding, Step, plain
from fairnad.records.history import Record
from fairnad.search.finals import Finalist, Finals
from fairnad.settings.search_settings import RunContext
from graphs.runtime.stored_finals import Retraining
from store.run_folder import RunFolder

BASE_SOURCE = "import torch.nn as nn\n\n\nclass Network(nn.Module):\n    width = 8\n"
BEST_SOURCE = (
    "import torch.nn as nn\n\n\nclass Gate(nn.Module):\n    pass\n\n\nclass Network(nn.Module):\n    width = 9\n"
)
GATES = Tag(Target.PERFORMANCE, Granularity.OPERATION, "gating", "sigmoid")
PAPER = Source("Gates for Networks", 2021, "https://example.org/gates", "§3")
BASE, PARENT, BEST = "g00-base-r1-s00-d0", "g00-initial-r1-s00-d0", "g01-fair-r1-s03-d0"
NUM_TRAINED = 2
FINALS = Finals(
    rung=0,
    recipe_name="quick",
    recipe_digest="24455aa1c67d",
    base_id=BASE,
    winner_id=BEST,
    finalists=(
        Finalist(BEST, {1: 0.92, 2: 0.94}, {1: 0.91, 2: 0.93}),
        Finalist(PARENT, {1: 0.9, 2: 0.91}),
        Finalist(BASE, {1: 0.9, 2: 0.88}, {1: 0.89, 2: 0.87}),
    ),
)
FAILED, DUPLICATE, PENDING = "g00-initial-r1-s01-d0", "g01-fair-r1-s02-d0", "g01-fair-r1-s03-d1"


def trained(candidate_id: str, parent_id: str, accuracy: float, params: float, idea: Idea, **fields: object) -> Record:
    costs = {"params": params, "flops": params * 40}
    found = (Finding(FailureKind.INTEGRITY, "no gradient reaches gate.bias", is_fault=False),)
    evaluation = Evaluation(
        accuracy,
        "24455aa1c67d",
        costs,
        candidate_id,
        train_loss=(2.0, 1.0),
        seconds=12.5,
        isolation="E",
        findings=found if candidate_id == BEST else (),
    )
    return Record(candidate_id, parent_id, idea, evaluation=evaluation, seconds=12.5, **fields)  # type: ignore[arg-type]


def made_records() -> list[Record]:
    """A base, two generations of its descendants, one that failed with a nasty message, and one duplicate."""
    calls = (
        Call("mutation", "qwen3-8b", 1234, 812, 4.1, True),
        Call("debug", "qwen3-8b", 2000, 900, 5.0, True, "empty"),
    )
    crash = Failure(
        Step.EXECUTE, FailureKind.SHAPE, "8 is not \x1b[31m16", "Traceback:\n  line 3\nRuntimeError: 8 is not 16"
    )
    copy = Failure(Step.JUDGE, FailureKind.DUPLICATE, f"the same architecture as {PARENT}")
    gate = Idea("Put a sigmoid gate behind every block.", tag=GATES, source=PAPER)
    return [
        trained(BASE, "", 0.9, 11_374, Idea("", IdeaKind.NONE), source=BASE_SOURCE),
        trained(PARENT, BASE, 0.88, 11_000, gate, source=BASE_SOURCE.replace("8", "7")),
        Record(FAILED, BASE, gate, "class Network(:\n", failure=crash, num_debugs=2, calls=calls, seconds=9.1),
        trained(
            BEST,
            PARENT,
            0.925,
            22_650,
            gate,
            source=BEST_SOURCE,
            note="a gate behind every block",
            num_debugs=1,
            num_downscales=2,
        ),
        Record(DUPLICATE, PARENT, gate, BASE_SOURCE, failure=copy, duplicate_of=PARENT),
    ]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The folder run folders lie in."""
    return tmp_path / "runs"


@pytest.fixture
def make_run(runs: Path) -> Callable[..., RunFolder]:
    """Makes a run of five records and one candidate that is under way; it stays open, as a running search's does."""

    def make(name: str = "made", **settings: object) -> RunFolder:
        limits = {"max_params": 45_000.0, "max_flops": 1_800_000.0}
        folder = RunFolder.open(RunContext(run=name, runs=str(runs), archs=4, **{**limits, **settings}))  # type: ignore[arg-type]
        for record in made_records():
            folder.history.add_record(record)
        for step, version, result in (
            ("mutate", 0, Proposal(BEST_SOURCE, "a prompt", note="a gate behind every block")),
            ("execute", 0, Failure(Step.EXECUTE, FailureKind.SHAPE, "8 is not 16")),
            ("debug", 1, Proposal(BEST_SOURCE, "a prompt")),
            ("execute", 1, CheckReport({"params": 22_650.0, "flops": 906_000.0}, "f", 2)),
            ("judge", 0, Verdict(changed=True, multi_layer=True, reason="a gate")),
            ("judge", 1, Judgement("f")),
            ("train", 1, Evaluation(0.925, "24455aa1c67d", {}, "f", seconds=12.5)),
            ("later", 0, None),
        ):
            folder.history.add_step(BEST, step, version, {"result": plain(result)})
        for one in FINALS.finalists:
            for number, accuracy in enumerate(one.validation.values()):
                retraining = Retraining(Evaluation(accuracy, "24455aa1c67d", {}, "f", seconds=12.5), "digest")
                folder.history.add_step(one.candidate_id, "retrain 24455aa1c67d", number, {"result": plain(retraining)})
            for number, accuracy in enumerate(one.held_out.values()):
                folder.history.add_step(one.candidate_id, "hold out 24455aa1c67d", number, {"result": accuracy})
        folder.history.add_step(BEST, "finals", NUM_TRAINED, {"result": plain(FINALS)})
        folder.history.add_step(PENDING, "mutate", 0, {"result": plain(Proposal("pending = 1\n", "a prompt"))})
        return folder

    return make


@pytest.fixture
def run_folder(make_run: Callable[..., RunFolder]) -> Iterator[RunFolder]:
    """A run that is held by this process."""
    with make_run() as folder:
        yield folder


@pytest.fixture
def golden(tmp_path: Path) -> Callable[[Path, str], None]:
    """Compares a text with a golden file; WRITE_GOLDEN=1 in the environment writes it anew: read the difference."""

    def compare(file: Path, text: str) -> None:
        text = text.replace(str(tmp_path), "FOLDER")
        if os.environ.get("WRITE_GOLDEN"):
            file.write_text(text)
        assert text == file.read_text()

    return compare


@pytest.fixture
def on_terminal() -> Callable[..., str]:
    """Runs Python with its output on a terminal of so many columns, and gives all that it wrote there."""

    def run(arguments: list[str], columns: int, **variables: str) -> str:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", **variables}
        process = subprocess.Popen([sys.executable, *arguments], stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        pieces = []
        try:
            while piece := os.read(ours, 65536):
                pieces.append(piece)
        except OSError:
            pass  # how Linux says that nobody has the other end open
        os.close(ours)
        assert process.wait() == 0
        return b"".join(pieces).decode().replace("\r\n", "\n")

    return run
