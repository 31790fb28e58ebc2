"""What the tests of the store write and read."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pytest
import yaml

from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Tag, Target
from fairnad.ideas.idea import Idea, Source
from fairnad.ports import Answer
from fairnad.records.candidate import Call, CandidateId, Evaluation, Failure, FailureKind, Stage, Step
from fairnad.records.history import Record
from store.history_store import SqliteHistory
from store.idea_files import read_ideas
from store.idea_store import ChromaIdeaStore
from tests.store.few_ideas import FEW, CountingEmbedder, open_store
from tools.embedder import HashedEmbedder

ROOT = Path(__file__).parents[2]
GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder programs are started in."""
    return ROOT


@pytest.fixture(scope="session")
def tree() -> AttributeTree:
    """The vision pack's attribute tree."""
    content = yaml.safe_load((ROOT / "prompts/vision/attribute_tree.yaml").read_text())
    return AttributeTree(
        {
            Category(Target(target), Granularity(granularity), main): tuple(subs)
            for target, granularities in content.items()
            for granularity, mains in granularities.items()
            for main, subs in mains.items()
        }
    )


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    """Records of stage fair that differ by their slot; ``trained=False`` for one that failed."""

    def make(slot: int = 0, *, trained: bool = True, source: str = "import torch\n", **fields: object) -> Record:
        return Record(
            candidate_id=str(CandidateId(1, Stage.FAIR, 1, slot, 0)),
            parent_id="g00-base-r1-s00-d0",
            idea=Idea("Replace every ReLU by GELU.", tag=GELU, source=Source("GELUs", 2016)),
            source=source,
            evaluation=Evaluation(0.5, "0123abcd", {"params": 1e6, "flops": 2e8}, f"f{slot}") if trained else None,
            failure=None if trained else Failure(Step.EXECUTE, FailureKind.SHAPE, "8 is not 16", "Traceback"),
            **fields,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture(scope="session")
def answer() -> Answer:
    """An answer of a language model."""
    return Answer(
        Call("mutator", "qwen3-8b", 900, 300, 4.5, True),
        (("system", "You design networks."), ("user", "Change this one.")),
        "Here it is.",
        "stop",
    )


class Program:
    """A Python program in a process of its own that prints a line at every step."""

    def __init__(self, source: str, *arguments: object) -> None:
        command = [sys.executable, "-c", source, *map(str, arguments)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def lines(self, num_lines: int) -> list[str]:
        """The next lines it prints, waited for."""
        return [cast(IO[str], self._process.stdout).readline().strip() for _ in range(num_lines)]

    def kill(self) -> list[str]:
        """Kill -9; the lines that had been printed and not read."""
        self._process.send_signal(signal.SIGKILL)
        output, _ = self._process.communicate()
        return output.splitlines()

    def end(self) -> int:
        """Close its input, read the rest of its output, and return its exit status."""
        self._process.communicate()
        return self._process.returncode

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts programs and sees to it that none outlives the test."""
    programs: list[Program] = []

    def start_program(source: str, *arguments: object) -> Program:
        programs.append(Program(source, *arguments))
        return programs[-1]

    yield start_program
    for program in programs:
        if program.running:
            program.kill()


@pytest.fixture
def embed() -> CountingEmbedder:
    return CountingEmbedder(64)


@pytest.fixture
def store(tmp_path: Path, embed: CountingEmbedder) -> Iterator[ChromaIdeaStore]:
    opened = open_store(tmp_path / "ideas", FEW, embed)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory, tree: AttributeTree, root: Path) -> Iterator[ChromaIdeaStore]:
    """The vision pack's ideas."""
    ideas = read_ideas(root / "prompts/vision/ideas.jsonl", tree)
    opened = open_store(tmp_path_factory.mktemp("starter"), ideas, HashedEmbedder())
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[SqliteHistory]:
    store = SqliteHistory(path)
    yield store
    store.close()
