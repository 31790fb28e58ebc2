"""From reference models to an attribute tree: list → structure each → merge (paper §4.1)."""

from __future__ import annotations

import asyncio
import operator
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from typing_extensions import TypedDict

from fairnad.errors import KnowledgeError
from fairnad.ideas.knowledge import Attribute, Findings, Problem, ProblemKind
from fairnad.ideas.structuring import Change, ChangeKind, Structuring, merge_findings
from fairnad.records.candidate import Failure, plain
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.knowledge.services import REGISTRY

if TYPE_CHECKING:
    from langgraph.graph.state import StateGraph
    from langgraph.runtime import Runtime

_FAILURE_KINDS = {
    "Overly specific attributes": (ChangeKind.ONE_MODEL_KEPT, ChangeKind.ONE_MODEL_DROPPED),
    "Inconsistent categorization": (ChangeKind.SEVERAL_CATEGORIES,),
    "Missing attributes": (ChangeKind.EMPTY,),
}
"""The three kinds of failures in the paper (C.2)."""


class ReferenceInput(TypedDict):
    """One reference model, or a part of it, by its key."""

    key: str


class StructureState(TypedDict, total=False):
    """A structuring; also the update that its nodes return. The attributes are stored as steps of the folder."""

    keys: list[str]
    structured: Annotated[list[str], operator.add]
    summary: dict[str, Any]


async def list_references(state: StructureState, runtime: Runtime[KnowledgeContext]) -> StructureState:
    """Read the source of every reference model, in parts if it is long."""
    services = await REGISTRY.get(runtime.context)
    await asyncio.to_thread(services.folder.settle, "references", services.structuring_basis())
    return {"keys": list(await services.list_references())}


async def structure(state: ReferenceInput, runtime: Runtime[KnowledgeContext]) -> StructureState:
    """Name the attributes of one model."""
    services = await REGISTRY.get(runtime.context)
    await services.structure(state["key"])
    return {"structured": [state["key"]]}


async def merge(state: StructureState, runtime: Runtime[KnowledgeContext]) -> StructureState:
    """Merge all attributes into one tree, with a report of every change and its reason."""
    services = await REGISTRY.get(runtime.context)
    references = await services.list_references()
    attributes: dict[str, list[Attribute]] = defaultdict(list)
    for key in state["keys"]:
        name, found = references[key].name, await services.structure(key)
        if isinstance(found, Findings):
            attributes[name] += found.attributes
        elif isinstance(found, Failure):
            services.problems.append(Problem(ProblemKind.REPLY, key, found.message))
        else:
            services.problems.append(found)
    findings = [Findings(name, tuple(found)) for name, found in attributes.items()]
    if not any(found.attributes for found in findings):
        raise KnowledgeError(f"expected attributes of reference models, found none: {services.describe_problems()}")
    result = merge_findings(services.knowledge.template, findings, min_models=runtime.context.min_models)
    await asyncio.to_thread(services.folder.write_tree, result.tree)
    text = "\n".join(_report(result, list(attributes), services.problems)).rstrip() + "\n"
    await asyncio.to_thread(services.folder.write_text, "structuring.md", text)
    await REGISTRY.release_when_unused(runtime.context)
    summary = {
        "models": list(attributes),
        "num_main": len(result.tree.categories),
        "num_sub": _num_sub(result),
        "changes": plain(result.changes),
        "problems": plain(services.problems),
    }
    return {"summary": summary}


def send_references(state: StructureState) -> list[Any]:
    """One ``Send`` for each model or part."""
    from langgraph.types import Send

    return [Send("structure", ReferenceInput(key=key)) for key in state["keys"]]


def build(
    settings: type[KnowledgeContext] = KnowledgeContext,
) -> StateGraph[StructureState, KnowledgeContext, StructureState, StructureState]:
    """The graph of a structuring."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(StructureState, context_schema=settings)
    for node in (list_references, structure, merge):
        graph.add_node(node)
    graph.add_edge(START, "list_references")
    graph.add_conditional_edges("list_references", send_references, ["structure"])
    graph.add_edge("structure", "merge")
    graph.add_edge("merge", END)
    return graph


def _num_sub(result: Structuring) -> int:
    return sum(map(len, result.tree.categories.values()))


def _report(result: Structuring, models: Sequence[str], problems: Sequence[Problem]) -> Iterator[str]:
    """``structuring.md``: the tree with its support, and every change."""
    yield from ("# Attribute structuring", "")
    yield f"{len(models)} reference models: {', '.join(models)}."
    yield from (f"{len(result.tree.categories)} main categories, {_num_sub(result)} sub-categories.", "")
    yield from (f"- {problem.where}: {problem.kind}. {problem.message}" for problem in problems)
    yield from ("", "## Tree", "", "In brackets: the number of models with the attribute.", "")
    for category, subs in result.tree.categories.items():
        names = ", ".join(f"{sub} ({result.support[f'{category} / {sub}']})" for sub in subs)
        yield f"- {category}: {names or '-'}"
    yield from ("", "## Failures the paper names", "")
    for title, kinds in _FAILURE_KINDS.items():
        yield from _section(f"### {title}", [change for change in result.changes if change.kind in kinds])
    yield from ("## Cleaned up", "")
    for kind in ChangeKind:
        if not any(kind in kinds for kinds in _FAILURE_KINDS.values()):
            yield from _section(
                f"### {kind.capitalize()}", [change for change in result.changes if change.kind is kind]
            )


def _section(heading: str, changes: Sequence[Change]) -> Iterator[str]:
    yield from (heading, "")
    for change in changes:
        detail = f" → {change.detail}" if change.detail else ""
        models = f" [{', '.join(change.models)}]" if change.models else ""
        yield f"- {change.name or 'empty'}: {change.category}{detail}{models}"
    yield from ([] if changes else ["None."])
    yield ""
