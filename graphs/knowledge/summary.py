"""The result of a build: merged ideas, and a summary with every problem."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.idea import Idea
from fairnad.ideas.idea_merging import MergedIdeas, merge_ideas
from fairnad.ideas.knowledge import Paper, PaperVerdict, Problem, ProblemKind
from fairnad.records.candidate import Failure, plain
from graphs.knowledge.services import DESCRIBED, READING, VERDICT, KnowledgeServices, Reading

if TYPE_CHECKING:
    from store.knowledge_folder import KnowledgeFolder


IMPORTED = "import"
"""The step with the ideas of an imported file."""
_IDEAS = TypeAdapter(tuple[Idea, ...])


@dataclass
class Tally:
    """Counts and problems of a build, in the order of the papers."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    num_papers: int = 0
    num_judged: int = 0
    num_kept: int = 0
    num_read: int = 0
    num_extracted: int = 0
    num_repaired: int = 0


def collect_knowledge(services: KnowledgeServices) -> dict[str, Any]:
    """Write ``ideas.jsonl``, ``attribute_tree.yaml``, ``papers.jsonl`` and ``summary.json``, and return the summary.

    Papers of earlier starts with other sources stay in the knowledge base.
    """
    tally = Tally(problems=list(services.problems))
    stored = {name: dict(services.folder.steps.find_steps(name, 0)) for name in ("describe", "filter", "extract")}
    ids = dict.fromkeys([*stored["describe"], *services.papers])
    for paper_id in ids:
        tally.num_papers += 1
        _add(tally, paper_id, services, stored)
    merged = merged_ideas(services.folder)
    counts = Counter(problem.kind.value for problem in tally.problems)
    summary = {
        "num_papers": tally.num_papers,
        "num_judged": tally.num_judged,
        "num_kept": tally.num_kept,
        "num_read": tally.num_read,
        "num_extracted": tally.num_extracted,
        "num_merged": merged.num_merged,
        "num_ideas": len(merged.ideas),
        "num_repaired_tags": tally.num_repaired,
        "dropped": dict(tally.dropped),
        "problems": dict(counts),
        "num_left": tally.num_papers - sum(1 for row in tally.rows if row["outcome"] != "left"),
        "examples": plain(_examples(tally.problems)),
    }
    services.folder.write_tree(services.tree)
    if merged.ideas:
        services.folder.write_ideas(merged.ideas)
    services.folder.write_rows("papers.jsonl", tally.rows)
    services.folder.write_text("summary.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    return summary


def merged_ideas(folder: KnowledgeFolder) -> MergedIdeas:
    """Every idea of the folder's papers and imported files, without duplicates."""
    ideas: list[Idea] = []
    # By id, because the order of reading depends on timing.
    for _, stored in sorted(folder.steps.find_steps("extract", 0), key=lambda step: step[0]):
        reading = READING.validate_python(stored["result"])
        ideas += reading.extraction.ideas if isinstance(reading, Reading) else ()
    for _, stored in folder.steps.find_steps(IMPORTED, 0):
        ideas += _IDEAS.validate_python(stored["result"])
    return merge_ideas(ideas)


def _add(tally: Tally, paper_id: str, services: KnowledgeServices, stored: dict[str, dict[str, Any]]) -> None:
    described = _find(DESCRIBED, stored["describe"], paper_id)
    verdict = _find(VERDICT, stored["filter"], paper_id)
    reading = _find(READING, stored["extract"], paper_id)
    paper = described if isinstance(described, Paper) else services.papers.get(paper_id, Paper(paper_id))
    where = paper.title or paper.link or paper_id
    outcome = "left"
    if isinstance(described, Problem):
        tally.problems.append(described)
        outcome = str(described.kind)
    if isinstance(verdict, PaperVerdict):
        tally.num_judged += 1
        tally.num_kept += verdict.keep
        tally.num_repaired += verdict.repaired
        outcome = outcome if verdict.keep else "discarded"
    elif isinstance(verdict, Failure):
        tally.problems.append(Problem(ProblemKind.REPLY, where, verdict.message))
        outcome = str(ProblemKind.REPLY)
    if isinstance(reading, Reading):
        outcome = "read"
        tally.num_read += 1
        tally.num_repaired += reading.extraction.num_repaired
        tally.num_extracted += len(reading.extraction.ideas)
        tally.dropped.update(reading.extraction.dropped)
        if not reading.section:
            tally.problems.append(Problem(ProblemKind.NO_METHOD, where))
    elif reading is not None:
        problem = reading if isinstance(reading, Problem) else Problem(ProblemKind.REPLY, where, reading.message)
        tally.problems.append(problem)
        outcome = str(problem.kind)
    tally.rows.append(_row(paper, verdict, reading, outcome))


def _find(adapter: TypeAdapter[Any], results: dict[str, Any], paper_id: str) -> Any:
    found = results.get(paper_id)
    return None if found is None else adapter.validate_python(found["result"])


def _row(paper: Paper, verdict: Any, reading: Any, outcome: str) -> dict[str, Any]:
    row = {"paper_id": paper.paper_id, "title": paper.title, "year": paper.year, "link": paper.link}
    row |= verdict_fields(verdict) | {"outcome": outcome}
    if isinstance(reading, Reading):
        row |= {"section": reading.section, "num_ideas": len(reading.extraction.ideas)}
    return row


def verdict_fields(verdict: PaperVerdict | Failure | Problem | None) -> dict[str, Any]:
    """``keep``, ``score``, ``target``, ``granularity``, ``main`` and ``sub``; all but the first empty without a tag."""
    if not isinstance(verdict, PaperVerdict):
        return {"keep": None, "score": None} | dict.fromkeys(("target", "granularity", "main", "sub"), "")
    tag = plain(verdict.tag) if verdict.tag is not None else dict.fromkeys(("target", "granularity", "main", "sub"), "")
    return {"keep": verdict.keep, "score": verdict.score, **tag}


def _examples(problems: list[Problem], num_each: int = 3) -> list[Problem]:
    """The first few problems of each kind, for the summary."""
    shown: Counter[ProblemKind] = Counter()
    examples = []
    for problem in problems:
        shown[problem.kind] += 1
        if shown[problem.kind] <= num_each:
            examples.append(problem)
    return examples


def build_index(folder: Path, tree: AttributeTree) -> int:
    """Build the index of a knowledge folder if it is missing or stale, and return the number of ideas."""
    from store.idea_files import read_ideas
    from store.idea_store import ChromaIdeaStore
    from store.knowledge_folder import IDEAS_NAME, INDEX_NAME
    from tools.embedder import HashedEmbedder

    ideas = read_ideas(folder / IDEAS_NAME, tree)
    ChromaIdeaStore(folder / INDEX_NAME, ideas, HashedEmbedder()).ensure_index()
    return len(ideas)
