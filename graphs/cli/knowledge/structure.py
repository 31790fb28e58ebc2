"""``structure --out STORE``: builds ``attribute_tree.yaml`` from reference models, and ``structuring.md`` beside it.

With ``--json``: ``models``, ``num_main``, ``num_sub``, ``changes`` (each with ``kind``, ``name``, ``category``,
``detail``, ``models``) and ``problems``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from graphs.cli.arguments import Parser
from graphs.cli.knowledge_flags import add_flags, read_context
from graphs.cli.output.terminal import print_json


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Structure; 1 where a model is left for the next start."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and nothing else")
    add_flags(parser, ("out", "pack", "min_models", "code_characters", "agents", "llm"))
    options = parser.parse_args(arguments)
    context = read_context(options)

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
    lines.append(f"the tree is {out}/attribute_tree.yaml; {out}/structuring.md tells what was changed and why")
    return "\n".join(lines)
