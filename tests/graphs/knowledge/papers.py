"""Papers and replies for whole builds."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tests.openai_server import Reply, Request, prompt_of

PATH = "performance / operation / activation / gelu"


def write_list(path: Path, num_papers: int) -> Path:
    """A list of so many different papers; odd ones are about architecture."""
    rows = [
        {
            "title": f"Paper number {number}",
            "abstract": f"We propose attention block {number} with multi-scale fusion in a convolution backbone."
            if number % 2
            else f"We collect dataset {number} of labels for training.",
            "year": 2023,
        }
        for number in range(num_papers)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def number_of(request: Request) -> int:
    """Which paper a request is about."""
    (number,) = set(re.findall(r"Paper number (\d+)", prompt_of(request)))
    return int(number)


def is_filter(request: Request) -> bool:
    """Whether a request is stage 1."""
    return "##response##" in prompt_of(request)


def read_papers(request: Request) -> Reply:
    """A model that keeps odd papers and finds one idea of its own and one common to all in each."""
    number = number_of(request)
    if is_filter(request):
        return Reply(f"##response## {PATH}" if number % 2 else "##response## no")
    words = " ".join(f"part{number}x{place}" for place in range(6))
    return Reply(f"- Use GELU with {words} | {PATH}\n- Replace every ReLU of the network by GELU | {PATH}")


def ideas_in(folder: Path) -> list[dict[str, object]]:
    """The ideas of a knowledge folder."""
    return [json.loads(line) for line in (folder / "ideas.jsonl").read_text(encoding="utf-8").splitlines()]


def flags(*given: object) -> Sequence[str]:
    """A command line."""
    return [str(part) for part in given]
