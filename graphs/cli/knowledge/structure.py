"""``structure --out STORE``: writes ``attribute_tree.yaml``, built from reference models, and ``structuring.md``.

With ``--json``: ``models``, ``num_main``, ``num_sub``, ``changes`` (each with ``kind``, ``name``, ``category``,
``detail``, ``models``) and ``problems``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.cli.arguments import Parser
from graphs.cli.output.terminal import print_json
from graphs.cli.settings_parser import add_settings, read_settings

_COMMON = {
    "knowledge": ("out", "pack", "min_models", "agents.players"),
    "language model": ("llm.model", "llm.base_url", "llm.concurrency"),
}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Build the tree; return 1 if a model is left for the next start."""
    parser.add_argument("--json", action="store_true", help="print only the report, as JSON")
    add_settings(parser, KnowledgeContext, _COMMON, ("out", "pack", "min_models", "agents", "llm"))
    options = parser.parse_args(arguments)
    context = read_settings(options, parser, KnowledgeContext)

    from graphs.cli.knowledge_runner import run_graph
    from graphs.knowledge.services import player
    from graphs.knowledge.structure import build

    if not options.json:
        print(f"FairNAD: reference models are structured by: {player(context, 'structurer')}", flush=True)
    outcome = run_graph(build(), context, lambda state: None)
    if isinstance(outcome, int):
        return outcome
    summary = outcome["summary"]
    if options.json:
        print_json(summary)
    else:
        print(_text(summary, context.out))
    return 1 if any(problem["kind"] == "endpoint did not answer" for problem in summary["problems"]) else 0


def _text(summary: dict[str, Any], out: str) -> str:
    lines = [
        f"{len(summary['models'])} reference models: {summary['num_main']} main categories, "
        f"{summary['num_sub']} sub-categories"
    ]
    kinds = Counter(change["kind"] for change in summary["changes"])
    lines += [f"{kind}: {number}" for kind, number in kinds.items()]
    lines += [f"{problem['where']}: {problem['kind']} ({problem['message']})" for problem in summary["problems"]]
    lines.append(f"the tree is {out}/attribute_tree.yaml; {out}/structuring.md lists the changes with reasons")
    return "\n".join(lines)
