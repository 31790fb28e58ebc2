"""A search with an unreliable language model: as in the paper, with a mix of players, and with shorter replies.

    python -m benchmarks.fault_mix --seeds 3 --archs 8

The model is scripted (see :mod:`benchmarks.scripted_model`): it designs correctly and spoils a reply the likelier the
longer it is. Every mode meets the same model on the same small task, with the base of ``digits``. Printed are the pass
rate in the paper's sense, the strict one (no duplicates, nothing refused for its integrity), and what a trained
candidate cost in requests and tokens.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import machine_line
from benchmarks.proportions import share_text
from benchmarks.scripted_model import ScriptedModel
from fairnad.records.history import History
from store.history_store import FILE_NAME, SqliteHistory
from tests.e2e.conftest import search_flags
from tests.openai_server import ScriptedServer

MODES: Mapping[str, Mapping[str, str]] = {
    "paper": {"agents.mode": "paper"},
    "hybrid": {"agents.mode": "best", "agents.edit-format": "full"},
    "hybrid-edit": {"agents.mode": "best", "agents.edit-format": "edit"},
    "hybrid-module": {"agents.mode": "best", "agents.edit-format": "module"},
    "hybrid-auto": {"agents.mode": "best", "agents.edit-format": "auto"},
}
"""Flags of each mode."""

_TASK = """
[digits]
base = "small_resnet"
recipe = "quick"
max_params = 22_000
max_flops = 1_500_000
image_size = 16
num_train = 60
num_validation = 200
flip_probability = 0.0
crop_padding = 0
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a search; ``num_requests`` counts all requests at the server, including refused ones."""

    history: History
    num_requests: int
    by_role: Counter[str]
    faults: Counter[str]
    seconds: float

    @property
    def num_tokens(self) -> int:
        """Prompt and reply tokens of all stored calls."""
        return sum(call.input_tokens + call.output_tokens for record in self.history.records for call in record.calls)

    @property
    def num_written(self) -> int:
        """Tokens the model wrote."""
        return sum(call.output_tokens for record in self.history.records for call in record.calls)


def search(mode: str, seed: int, archs: int, folder: Path) -> Outcome:
    """Search in the empty ``folder`` until ``archs`` candidates have trained."""
    start = time.monotonic()
    model = ScriptedModel(seed)
    settings = settings_of(mode, seed, archs, folder)
    with ScriptedServer(model) as server:
        run_search({**settings, "llm.model": "scripted", "llm.base_url": server.url})
        num_requests = server.num_requests
    history = read_history(folder)
    return Outcome(history, num_requests, model.by_role, model.faults, time.monotonic() - start)


def settings_of(mode: str, seed: int, archs: int, folder: Path) -> dict[str, object]:
    """Settings of a search but for its model; writes the pack with the small task into ``folder``."""
    return {
        "pack": _write_pack(folder / "pack"),
        "runs": folder / "runs",
        "archs": archs,
        "seed": seed,
        "search.initial": 8,
        "search.max-stalled-draws": 200,
        "search.max-draws": 8,
        "llm.max-retries": 8,
        **MODES[mode],
    }


def run_search(settings: Mapping[str, object]) -> None:
    """Run a search in a separate process.

    Raises:
        RuntimeError: the search did not finish; the message is the end of its output.
    """
    command = [sys.executable, "-m", "graphs.search", *search_flags(settings), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"the search ended with {ended.returncode}: {ended.stderr[-2000:]}")


def read_history(folder: Path, run: str = "test") -> History:
    """The records of the search in ``folder``."""
    with closing(SqliteHistory(folder / "runs" / run / FILE_NAME, read_only=True)) as store:
        return History(store.records())


def _write_pack(folder: Path) -> Path:
    """The vision pack with ``digits`` on fewer images."""
    shutil.copytree(Path(__file__).resolve().parents[1] / "prompts" / "vision", folder)
    (folder / "tasks.toml").write_text(_TASK)
    return folder


def table(outcomes: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    """A row for each mode, over its seeds together, and what ended draws."""
    yield (
        "| mode | drawn | pass rate (95% interval) | strict | requests a valid one | tokens written a valid one "
        "| all tokens a valid one |"
    )
    yield "|---|---:|---|---|---:|---:|---:|"
    for mode, group in outcomes.items():
        yield f"| {' | '.join([mode, *_cells(group)])} |"
    yield ""
    for mode, group in outcomes.items():
        failures = sum((outcome.history.failures() for outcome in group), Counter[tuple[str, str]]())
        ended = ", ".join(f"{step}/{kind} {number}" for (step, kind), number in failures.most_common())
        roles = sum((outcome.by_role for outcome in group), Counter[str]())
        faults = sum((outcome.faults for outcome in group), Counter[str]())
        yield f"{mode}: requests {dict(roles)}; faults of the model {dict(faults)}; draws ended by {ended}"


def _cells(group: Sequence[Outcome]) -> list[str]:
    num_trained = sum(len(outcome.history.trained) for outcome in group)
    rates = [[outcome.history.pass_rate(strict=strict) for outcome in group] for strict in (False, True)]
    return [
        str(sum(len(outcome.history.drawn) for outcome in group)),
        *(share_text(sum(r.num_valid for r in rate), sum(r.num_draws for r in rate)) for rate in rates),
        f"{sum(outcome.num_requests for outcome in group) / num_trained:.1f}",
        f"{sum(outcome.num_written for outcome in group) / num_trained:,.0f}",
        f"{sum(outcome.num_tokens for outcome in group) / num_trained:,.0f}",
    ]


def main() -> None:
    """Search in each mode with each seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="searches of each mode (default: 3)")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them (default: 0)")
    parser.add_argument("--archs", type=int, default=8, help="candidates a search trains (default: 8)")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), help="default: all")
    options = parser.parse_args()
    print(f"{machine_line('torch', 'langgraph')}\n", flush=True)
    outcomes: dict[str, list[Outcome]] = {mode: [] for mode in options.modes}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for mode in options.modes:
            with tempfile.TemporaryDirectory() as folder:
                outcome = search(mode, seed, options.archs, Path(folder))
            outcomes[mode].append(outcome)
            so_far = " | ".join(_cells(outcomes[mode]))
            print(f"seed {seed}, {mode}, {outcome.seconds:.0f} s; so far {so_far}", file=sys.stderr, flush=True)
    for line in table(outcomes):
        print(line)


if __name__ == "__main__":
    main()
