"""``build SOURCES… --out STORE``: builds an idea base from papers; a search uses it with ``--ideas STORE``.

With ``--json``: ``num_papers``, ``num_judged``, ``num_kept``, ``num_read``, ``num_extracted``, ``num_merged``,
``num_ideas``, ``num_repaired_tags``, ``num_left``, ``dropped`` and ``problems`` (counts by reason), and ``examples`` of
problems.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.cli.arguments import Parser
from graphs.cli.output.terminal import print_json
from graphs.cli.settings_parser import add_settings, read_settings

_COMMON = {
    "knowledge": ("out", "pack", "tree", "agents.players"),
    "language model": ("llm.model", "llm.base_url", "llm.concurrency"),
}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Build; return 1 if papers are left for the next start."""
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="papers: a file, folder, list, arxiv:ID, or CVF year page"
    )
    parser.add_argument("--json", action="store_true", help="print only the summary, as JSON")
    add_settings(parser, KnowledgeContext, _COMMON, ("out", "pack", "tree", "agents", "llm"))
    options = parser.parse_intermixed_args(arguments)
    context = read_settings(options, parser, KnowledgeContext, sources=tuple(options.sources))

    from graphs.cli.knowledge_runner import run_graph
    from graphs.knowledge.graph import build
    from graphs.knowledge.services import player

    if not options.json:
        print(f"FairNAD: papers are read by: {player(context, 'reader')}", flush=True)
    outcome = run_graph(build(), context, _quiet if options.json else _Progress())
    if isinstance(outcome, int):
        return outcome
    summary = outcome["summary"]
    if options.json:
        print_json(summary)
    else:
        print(summary_text(summary, context.out))
    return 1 if summary["num_left"] else 0


def summary_text(summary: dict[str, Any], out: str) -> str:
    """Counts of papers and ideas, and examples of problems."""
    lines = [
        f"{summary['num_papers']} papers: {summary['num_kept']} kept of {summary['num_judged']} judged, "
        f"{summary['num_read']} read",
        f"{summary['num_ideas']} ideas ({summary['num_extracted']} extracted, {summary['num_merged']} merged with "
        f"near-duplicates, {summary['num_repaired_tags']} tags repaired)",
    ]
    lines += [f"dropped: {number} ({reason})" for reason, number in sorted(summary["dropped"].items())]
    for kind, number in sorted(summary["problems"].items()):
        examples = [entry for entry in summary["examples"] if entry["kind"] == kind]
        listed = "; ".join(f"{entry['where']}: {entry['message']}".rstrip(": ") for entry in examples)
        lines.append(f"{kind}: {number} ({listed}{'; …' if number > len(examples) else ''})")
    if summary["num_left"]:
        lines.append(f"left for the next start: {summary['num_left']} papers; the same command continues")
    if summary["num_ideas"]:
        lines.append(f"search with them: python -m graphs.search --ideas {shlex.quote(out)}")
    return "\n".join(lines)


def _quiet(state: dict[str, Any]) -> None:
    """Print nothing."""


class _Progress:
    """Prints the number of finished papers after every tenth of them."""

    def __init__(self) -> None:
        self._tenth = 0
        self._num_papers = 1

    def __call__(self, state: dict[str, Any]) -> None:
        num_done = len(state.get("done", ()))
        # Only the first state counts all papers as waiting.
        self._num_papers = max(self._num_papers, num_done + len(state.get("waiting", ())))
        tenth = 10 * num_done // self._num_papers
        if tenth > self._tenth:
            self._tenth = tenth
            print(f"{num_done} of {self._num_papers} papers", file=sys.stderr, flush=True)
