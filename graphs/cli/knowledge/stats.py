"""``stats``: how evenly ideas are spread over the attribute tree, and with ``--run`` the results of each category.

With ``--json``: ``levels`` (by name, each with ``num_categories``, ``num_ideas``, ``entropy``, ``largest``,
``largest_share`` and ``counts``), and with ``--run`` ``yields`` (each with ``category``, ``tried``, ``valid``,
``helpful``, ``mean_gain``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnad.errors import SettingsError
from fairnad.formatting import share_text
from fairnad.search.imbalance import Imbalance, Yield, counts, imbalance, path_text, yields
from fairnad.search.sampling import Fairness, Key
from graphs.cli.arguments import Parser
from graphs.cli.knowledge.ideas import ideas_of
from graphs.cli.output.terminal import make_console, make_table, print_json, print_table

if TYPE_CHECKING:
    from fairnad.ideas.attribute_tree import AttributeTree
    from fairnad.ideas.idea import Idea

_LEVELS = (Fairness.GRANULARITY, Fairness.MAIN, Fairness.SUB)


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Print the tables, and write the chart if ``--html`` names a file."""
    parser.add_argument(
        "place", type=Path, nargs="?", metavar="STORE", help="knowledge folder or idea file (default: the pack's ideas)"
    )
    parser.add_argument("--pack", default="vision", help="prompt pack (default: %(default)s)")
    parser.add_argument("--run", default="", metavar="NAME", help="also show the results of this run by category")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path(os.environ.get("FAIRNAD_RUNS", "runs")),
        metavar="DIR",
        help="folder with all run folders (default: %(default)s)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the counts as a chart")
    parser.add_argument("--json", action="store_true", help="print only one JSON object")
    options = parser.parse_args(arguments)
    ideas, tree = _ideas(options.place, options.pack)
    found = {level: counts(ideas, tree, level) for level in _LEVELS}
    used = _yields(options.runs, options.run) if options.run else {}
    if options.html is not None:
        from graphs.report.idea_charts import write_chart

        write_chart(options.html, ideas, tree, used)
    if options.json:
        print_json(_plain(found, used, bool(options.run)))
    else:
        _print(found, used, options.run)
        if options.html is not None:
            print(f"the chart is {options.html}")
    return 0


def _ideas(place: Path | None, pack: str) -> tuple[Sequence[Idea], AttributeTree]:
    if place is not None and not place.exists():
        raise SettingsError(f"stats: expected a knowledge folder or an idea file, found nothing at {place}")
    if place is None:
        from prompts.loader import load_pack

        place = load_pack(pack).ideas_file
    return ideas_of(place, pack)


def _yields(runs: Path, run: str) -> Mapping[Key, Yield]:
    from graphs.runtime.stored_runs import find_run, open_run

    with open_run(find_run(runs, run)) as stored:
        return yields(stored.history, Fairness.MAIN)


def _plain(found: Mapping[Fairness, Mapping[Key, int]], used: Mapping[Key, Yield], with_run: bool) -> dict[str, Any]:
    levels = {}
    for level, of in found.items():
        spread = imbalance(of)
        levels[str(level)] = {
            "num_categories": spread.num_categories,
            "num_ideas": spread.num_ideas,
            "entropy": round(spread.entropy, 4),
            "largest": path_text(spread.largest),
            "largest_share": round(spread.largest_share, 4),
            "counts": {path_text(key): number for key, number in of.items()},
        }
    if not with_run:
        return {"levels": levels}
    rows = [
        {
            "category": path_text(key),
            "tried": found.tried,
            "valid": found.valid,
            "helpful": found.helpful,
            "mean_gain": found.mean_gain,
        }
        for key, found in used.items()
    ]
    return {"levels": levels, "yields": rows}


def _print(found: Mapping[Fairness, Mapping[Key, int]], used: Mapping[Key, Yield], run: str) -> None:
    console = make_console()
    spread = make_table("level", "categories", "ideas", "evenness", "largest", "share", numbers={"categories", "ideas"})
    for level, of in found.items():
        spread.add_row(str(level), *_spread_row(imbalance(of)))
    print_table(console, spread)
    table = make_table("category", "ideas", "share", numbers={"ideas", "share"})
    total = sum(found[Fairness.MAIN].values())
    for main, number in found[Fairness.MAIN].items():
        table.add_row(path_text(main), str(number), share_text(number / total, 1))
        for sub, inside in found[Fairness.SUB].items():
            if sub[:3] == main and sub[3] and inside:
                table.add_row(f"    {sub[3]}", str(inside), share_text(inside / total, 1))
    print_table(console, table)
    if run:
        _print_yields(console, used, run)


def _spread_row(spread: Imbalance) -> tuple[str, ...]:
    largest = path_text(spread.largest)
    return (
        str(spread.num_categories),
        str(spread.num_ideas),
        f"{spread.entropy:.3f}",
        largest,
        share_text(spread.largest_share, 1),
    )


def _print_yields(console: Any, used: Mapping[Key, Yield], run: str) -> None:
    if not used:
        console.print(f"no candidate of {run} used a tagged idea")
        return
    table = make_table("category", "tried", "valid", "helpful", "mean gain", numbers={"tried", "valid", "helpful"})
    for key, found in used.items():
        gain = "-" if found.mean_gain is None else f"{found.mean_gain:+.4f}"
        table.add_row(path_text(key), str(found.tried), str(found.valid), str(found.helpful), gain)
    print_table(console, table)
