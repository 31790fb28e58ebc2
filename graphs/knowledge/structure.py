"""From reference models to an attribute tree: list → structure each → merge (paper §4.1)."""

from __future__ import annotations

import asyncio
import operator
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

from typing_extensions import TypedDict

from fairnad.errors import KnowledgeError
from fairnad.ideas.knowledge import Attribute, Findings, Problem, ProblemKind, ReferenceModel
from fairnad.ideas.structuring import merge_findings
from fairnad.records.candidate import Failure, plain
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.knowledge.registry import bench_of, release

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime

    from graphs.knowledge.services import KnowledgeBench


class ReferenceInput(TypedDict):
    """One reference model or part of one, by its key."""

    key: str


class StructureState(TypedDict, total=False):
    """A structuring; the attributes that were found are in the steps of the folder."""

    keys: list[str]
    structured: Annotated[list[str], operator.add]
    summary: dict[str, Any]


class StructureUpdate(TypedDict, total=False):
    """What a node may write."""

    keys: list[str]
    structured: list[str]
    summary: dict[str, Any]


async def list_references(state: StructureState, runtime: Runtime[KnowledgeContext]) -> StructureUpdate:
    """Read the source of every reference model, in parts where it is long."""
    from graphs.knowledge.services import player

    bench = await bench_of(runtime.context)
    basis = {
        "pack": f"{bench.knowledge.pack.name} {bench.knowledge.pack.digest}",
        "structurer": player(runtime.context, "structurer"),
        "--code-characters": runtime.context.code_characters,
    }
    await asyncio.to_thread(bench.folder.settle, "references", basis)
    found = await asyncio.to_thread(_read_references, bench)
    bench.references = {f"{model.name} {model.part}": model for model in found}
    if not bench.references:
        raise KnowledgeError(f"expected reference models, found none: {_problems_text(bench)}")
    return {"keys": list(bench.references)}


async def structure(state: ReferenceInput, runtime: Runtime[KnowledgeContext]) -> StructureUpdate:
    """The attributes of one model."""
    bench = await bench_of(runtime.context)
    await bench.structure(state["key"])
    return {"structured": [state["key"]]}


async def merge(state: StructureState, runtime: Runtime[KnowledgeContext]) -> StructureUpdate:
    """One tree of all, with a report of everything that was changed and why."""
    from graphs.knowledge.structuring_text import report_text

    bench = await bench_of(runtime.context)
    attributes: dict[str, list[Attribute]] = defaultdict(list)
    for key in state["keys"]:
        name, found = bench.references[key].name, await bench.structure(key)
        if isinstance(found, Findings):
            attributes[name] += found.attributes
        elif isinstance(found, Failure):
            bench.problems.append(Problem(ProblemKind.REPLY, key, found.message))
        else:
            bench.problems.append(found)
    findings = [Findings(name, tuple(found)) for name, found in attributes.items()]
    if not any(found.attributes for found in findings):
        await release(runtime.context)
        raise KnowledgeError(f"expected attributes of reference models, found none: {_problems_text(bench)}")
    result = merge_findings(bench.knowledge.template, findings, min_models=runtime.context.min_models)
    await asyncio.to_thread(bench.folder.write_tree, result.tree)
    text = report_text(result, list(attributes), bench.problems)
    await asyncio.to_thread(bench.folder.write_text, "structuring.md", text)
    await release(runtime.context)
    summary = {
        "models": list(attributes),
        "num_main": len(result.tree.categories),
        "num_sub": sum(map(len, result.tree.categories.values())),
        "changes": plain(result.changes),
        "problems": plain(bench.problems),
    }
    return {"summary": summary}


def send_references(state: StructureState) -> list[Any]:
    """One ``Send`` for each model or part."""
    from langgraph.types import Send

    return [Send("structure", ReferenceInput(key=key)) for key in state["keys"]]


def build() -> StateGraph[StructureState, KnowledgeContext, StructureState, StructureState]:
    """The graph of a structuring."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(StructureState, context_schema=KnowledgeContext)
    for node in (list_references, structure, merge):
        graph.add_node(node)
    graph.add_edge(START, "list_references")
    graph.add_conditional_edges("list_references", send_references, ["structure"])
    graph.add_edge("structure", "merge")
    graph.add_edge("merge", END)
    return graph


def _read_references(bench: KnowledgeBench) -> list[ReferenceModel]:
    from tools.reference_sources import read_reference

    models: list[ReferenceModel] = []
    for reference in bench.knowledge.references:
        found = read_reference(reference.name, reference.module, reference.entries, bench.context.code_characters)
        if isinstance(found, Problem):
            bench.problems.append(found)
        else:
            models += found
    return models


def _problems_text(bench: KnowledgeBench) -> str:
    told = (f"{problem.where}: {problem.message}" for problem in bench.problems[:3])
    return "; ".join(told) or "the pack names none in knowledge/knowledge.toml"
