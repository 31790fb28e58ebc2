"""Searches in processes of their own, for tests that kill or stop them."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from fairnad.records.candidate import Step
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.networks import network
from tests.e2e.scripts import APPROVED, fenced, lively, role_of
from tests.openai_server import Reply, Request, prompt_of

SMALL = {
    "archs": 14,
    "search.initial": 4,
    "search.fair": 3,
    "search.pareto": 3,
    "search.refine": 2,
    "llm.model": "scripted",
}


class Counted:
    """The lively model, whose networks write their tag to a file whenever a training of them begins."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, request: Request) -> Reply:
        reply = lively(request)
        tag = hashlib.sha256(reply.text.encode()).hexdigest()[:12]
        forward = "    def forward(self, x):\n        return self.head"
        return replace(reply, text=reply.text.replace(forward, self._counting_forward(tag)))

    def _counting_forward(self, tag: str) -> str:
        return f"""    tag = "{tag}"

    def forward(self, x):
        if self.training and len(x) > 8 and not getattr(self, "counted", False):
            self.counted = True
            with open({str(self._file)!r}, "a") as file:
                file.write(self.tag + "\\n")
        return self.head"""

    def trainings(self) -> Counter[str]:
        """How often a training of each network began."""
        return Counter(self._file.read_text().splitlines()) if self._file.exists() else Counter()


@dataclass
class Done:
    """What a run had finished when it was killed: tags of trainings, prompts that were answered, recorded ids."""

    trained: set[str]
    answered: set[str]
    recorded: list[str]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """From a run folder, which may not be there yet."""
        if not (folder / FILE_NAME).exists():
            return cls(set(), set(), [])
        with closing(SqliteHistory(folder / FILE_NAME, read_only=True)) as store:
            answered = {prompt(answer.messages) for _, answer in store.answers()}
            ids = [record.candidate_id for record in store.records()]
            steps = [(version, name) for version in range(8) for name, _ in store.find_steps(Step.TRAIN, version)]
            return cls({tag_of(store, name, version) for version, name in steps}, answered, ids)


def prompt(messages: Sequence[tuple[str, str]]) -> str:
    """Messages as the server counts them."""
    return prompt_of({"messages": [{"role": role, "content": content} for role, content in messages]})


def tag_of(store: SqliteHistory, candidate_id: str, version: int) -> str:
    """The tag of the source that was trained, empty for the base."""
    for number in range(version, -1, -1):
        for step in (Step.MUTATE, Step.DEBUG, Step.DOWNSCALE):
            result = store.find_step(candidate_id, step, number)
            if result is not None and "source" in result["result"]:
                found = re.search(r'tag = "(\w+)"', result["result"]["source"])
                return found[1] if found else ""
    raise LookupError(candidate_id)


def start(flags: Sequence[str]) -> subprocess.Popen[str]:
    """A search in a process of its own."""
    command = [sys.executable, "-u", "-m", "graphs.search", *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_lines(process: subprocess.Popen[str], num_lines: int) -> list[str]:
    """The next lines of output; fewer where it ends."""
    assert process.stdout is not None
    return [line for _, line in zip(range(num_lines), process.stdout, strict=False)]


class Endless:
    """A model whose network says when its training begins, and trains for a given time, or for ever."""

    def __init__(self, began: Path, num_seconds: float = 1e6) -> None:
        forward = f"""    def forward(self, x):
        import time

        if self.training and len(x) > 8:
            end = time.monotonic() + {num_seconds}
            open({str(began)!r}, "w").close()
            while time.monotonic() < end:
                time.sleep(0.01)
        return self.head"""
        self._source = network(width=9).replace("    def forward(self, x):\n        return self.head", forward)

    def __call__(self, request: Request) -> Reply:
        return Reply(APPROVED if role_of(request) == "judge" else fenced(self._source))


def wait_for(file: Path) -> None:
    """Return when the file is there."""
    end = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < end, f"{file} did not appear"
        time.sleep(0.01)
