r"""The gain of a search's winner over its control, the base widened to the same limits.

    python -m benchmarks.control --seeds 3 -- --task folder --data photos --image-size 16 \
        --max-params 60k --max-flops 4M --archs 16

Runs one search for each search seed with the flags behind ``--`` (without any: the default task), and prints winner
and control, on validation and on held-out images, each the mean over the finals' fresh seeds, then the mean of the
differences over the search seeds with its 95% interval. Runs are kept in ``--runs``; the same command resumes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.machine import machine_line
from fairnad.search.finals import PairedDifference


def main() -> None:
    """Search with each seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="number of searches")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first search")
    parser.add_argument("--runs", type=Path, default=Path("runs/control"), help="folder of the run folders")
    parser.add_argument("flags", nargs="*", help="flags of the search")
    asked = parser.parse_args()
    print(machine_line("torch"))
    print("flags:", " ".join(asked.flags))
    print("| seed | control: params | validation | held out | winner: params | validation | held out | difference |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    differences = []
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        found = search(asked.runs, seed, asked.flags)
        control, winner = found["base"], found["winner"]
        differences.append(100 * (mean(winner["held_out"]) - mean(control["held_out"])))
        print(f"| {seed} | {cells(control)} | {cells(winner)} | {differences[-1]:+.2f} |", flush=True)
    if len(differences) > 1:
        total = PairedDifference.of(differences)
        print(
            f"winner − control, held out: {total.mean:+.2f} ± {total.deviation:.2f} points (n={total.n}), "
            f"95% interval {total.low:+.2f} to {total.high:+.2f}"
        )


def search(runs: Path, seed: int, flags: Sequence[str]) -> Mapping[str, Any]:
    """The last event of one search."""
    command = [sys.executable, "-m", "graphs.search", "--json", "--runs", str(runs), "--run", f"seed-{seed}"]
    done = subprocess.run([*command, "--seed", str(seed), *flags], check=True, stdout=subprocess.PIPE, text=True)
    last: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return last


def cells(network: Mapping[str, Any]) -> str:
    """Parameters and mean accuracies in percent."""
    accuracies = [f"{100 * mean(network[name]):.1f}" for name in ("validation", "held_out")]
    return " | ".join([f"{network['costs']['params']:,.0f}", *accuracies])


if __name__ == "__main__":
    main()
