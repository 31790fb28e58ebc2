"""``filter PAPERS.jsonl --out VERDICTS.jsonl``: runs only stage 1, on a list of titles and abstracts.

Input rows have ``title``, ``abstract`` and any other fields. Output rows keep order and fields, and add ``keep``,
``score`` (0 to 1), ``target``, ``granularity``, ``main`` and ``sub``. Each verdict depends only on its row. ``keep`` is
null if the reply of a language model is unusable. Until all rows have a verdict, those of a language model are stored
in ``VERDICTS.jsonl.steps``, so that the same command continues after a stop.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairnad.errors import SettingsError
from fairnad.ideas.knowledge import Paper, PaperVerdict, Problem
from fairnad.ports import BUILT_IN
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.cli.arguments import Parser
from graphs.cli.output.terminal import print_json
from graphs.cli.settings_parser import add_settings, read_settings

_COMMON = {
    "knowledge": ("pack", "tree", "agents.players"),
    "language model": ("llm.model", "llm.base_url", "llm.concurrency"),
}


def execute(parser: Parser, arguments: Sequence[str]) -> int:
    """Filter the list; return 1 if the endpoint stopped answering before all papers had a verdict."""
    parser.add_argument("papers", type=Path, metavar="PAPERS.jsonl", help="rows with title and abstract")
    parser.add_argument("--out", type=Path, required=True, metavar="VERDICTS.jsonl", help="output file")
    parser.add_argument("--json", action="store_true", help="print only the counts, as JSON")
    add_settings(parser, KnowledgeContext, _COMMON, ("pack", "tree", "agents", "llm"))
    options = parser.parse_args(arguments)
    if options.out.resolve() == options.papers.resolve():
        raise SettingsError(f"--out: {options.out} is the list of papers; name another file")
    context = read_settings(options, parser, KnowledgeContext, out=f"{options.out}.steps")

    from graphs.knowledge.services import player
    from graphs.knowledge.summary import verdict_fields
    from store.knowledge_folder import write_rows
    from tools.papers.library import paper_of_row, read_rows

    rows = read_rows(options.papers)
    papers = [paper_of_row(row) for row in rows]
    by_model = player(context, "reader") != BUILT_IN
    verdicts = asyncio.run(_ask_model(context, papers)) if by_model else _judge(context, papers)
    complete = len(verdicts) == len({paper.paper_id for paper in papers})
    if complete:
        fields = [verdict_fields(verdicts[paper.paper_id]) for paper in papers]
        write_rows(options.out, [row | found for row, found in zip(rows, fields, strict=True)])
        shutil.rmtree(context.out, ignore_errors=True)
    counts = _counts(papers, verdicts)
    if options.json:
        print_json(counts)
    else:
        print(_text(counts, options.out, complete))
    return 0 if complete else 1


def _judge(context: KnowledgeContext, papers: Sequence[Paper]) -> dict[str, Any]:
    from agents.builtin.paper_reader import BuiltinPaperReader
    from graphs.knowledge.services import make_reader, read_tree
    from prompts.knowledge_pack import load_knowledge_pack

    knowledge = load_knowledge_pack(context.pack)
    reader = make_reader(context, knowledge, read_tree(context, knowledge), None)
    assert isinstance(reader, BuiltinPaperReader)
    return {paper.paper_id: reader.verdict(paper.title, paper.abstract) for paper in papers}


async def _ask_model(context: KnowledgeContext, papers: Sequence[Paper]) -> dict[str, Any]:
    """The verdicts of a language model, until the endpoint stops answering."""
    from graphs.knowledge.services import num_papers_at_once, open_services

    services = await open_services(context)
    try:
        services.folder.settle("papers", services.reading_basis())
        distinct = list({paper.paper_id: paper for paper in papers}.values())
        places = asyncio.Semaphore(num_papers_at_once(context))

        async def ask(paper: Paper) -> Any:
            async with places:
                return await services.judge(paper)

        answers = await asyncio.gather(*map(ask, distinct))
        reached = zip(distinct, answers, strict=True)
        return {paper.paper_id: answer for paper, answer in reached if not isinstance(answer, Problem)}
    finally:
        await services.close()


def _counts(papers: Sequence[Paper], verdicts: dict[str, Any]) -> dict[str, int]:
    found = [verdicts.get(paper.paper_id) for paper in papers]
    kept = sum(1 for verdict in found if isinstance(verdict, PaperVerdict) and verdict.keep)
    judged = sum(1 for verdict in found if isinstance(verdict, PaperVerdict))
    return {
        "num_papers": len(papers),
        "num_kept": kept,
        "num_discarded": judged - kept,
        "num_unusable": sum(1 for verdict in found if verdict is not None) - judged,
        "num_left": sum(1 for verdict in found if verdict is None),
    }


def _text(counts: dict[str, int], out: Path, complete: bool) -> str:
    text = f"{counts['num_papers']} papers: {counts['num_kept']} kept, {counts['num_discarded']} discarded"
    if counts["num_unusable"]:
        text += f", {counts['num_unusable']} without a usable reply"
    if not complete:
        return f"{text}; {counts['num_left']} left, because the endpoint did not answer; the same command continues"
    return f"{text}; the verdicts are in {out}"
