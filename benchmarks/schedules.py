"""Slot use of the two schedules when a call of the language model takes as long as a training.

The language model is scripted and the trainings sleep, so that no time is a processor's: what is measured is the
waiting that the schedule brings about. There is one slot, and a stage has two candidates: the smaller the stages are
beside the slots, the more a schedule that waits for them costs. Run by ``python -m benchmarks.schedules``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphs.cli.search_command import main as search
from tests.e2e.networks import UNJAILED, network
from tests.e2e.scripts import APPROVED, fenced, role_of
from tests.e2e.tiny_pack import write_pack
from tests.openai_server import Reply, Request, ScriptedServer, prompt_of

_SETTINGS = {
    "epochs": 1,
    "search.initial": 2,
    "search.fair": 2,
    "search.pareto": 2,
    "search.refine": 0,
    "search.confirm_seeds": 0,
    "search.ablate": "judge",
    "lab.slots": 1,
    "llm.model": "scripted",
    **UNJAILED,
}


class Sleepy:
    """A model that answers after ``seconds`` with a new network, whose training sleeps as long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, request: Request) -> Reply:
        """Reply after a delay; the judge replies at once."""
        if role_of(request) == "judge":
            return Reply(APPROVED)
        time.sleep(self._seconds)
        digest = int(hashlib.sha256(prompt_of(request).encode()).hexdigest(), 16)
        return Reply(fenced(self._network(4 + digest % 11, 2 + digest // 11 % 3, digest // 33 % 3 * 2 + 1)))

    def _network(self, width: int, repeats: int, kernel_size: int) -> str:
        sleeping = f"""    def forward(self, x):
        import time

        if self.training and len(x) > 8 and not getattr(self, "slept", False):
            self.slept = True
            time.sleep({self._seconds})
        return self.head"""
        source = network(width=width, repeats=repeats, kernel_size=kernel_size)
        return source.replace("    def forward(self, x):\n        return self.head", sleeping)


def measure(schedule: str, folder: Path, *, archs: int, seconds: float, **settings: object) -> Mapping[str, Any]:
    """The facts at the end of a search, see :func:`graphs.cli.output.summary.facts`."""
    pack, runs = folder / "pack", folder / "runs"
    if not pack.exists():
        write_pack(pack)
    with ScriptedServer(Sleepy(seconds)) as server, contextlib.redirect_stdout(io.StringIO()) as output:
        given = {**_SETTINGS, "pack": pack, "runs": runs, "run": schedule, "archs": archs, "max_params": 1e6}
        given |= {"max_flops": 1e9, "llm.base_url": server.url, "search.schedule": schedule, **settings}
        flags = [part for name, value in given.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        status = search([*flags, "--json"])
    assert status == 0, output.getvalue()
    facts: Mapping[str, Any] = json.loads(output.getvalue().splitlines()[-1])
    return facts


def main() -> None:
    """Measure both schedules and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archs", type=int, default=16, help="candidates to train (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a call and of a training (default: %(default)s)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        print(f"| schedule | slot busy | stale by | trained of drawn ({options.seconds:g} s a call, as a training) |")
        print("|---|---:|---:|---:|")
        for schedule in ("generational", "steady"):
            facts = measure(schedule, folder, archs=options.archs, seconds=options.seconds)
            stale = "–" if facts["staleness"] is None else f"{facts['staleness']:.1f}"
            busy = 1 - facts["slot_idle_share"]
            print(f"| {schedule} | {busy:.0%} | {stale} | {facts['num_trained']} of {facts['num_drawn']} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
