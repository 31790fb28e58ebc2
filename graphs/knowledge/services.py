"""The bench knowledge is built at: live objects made once per folder, and the steps its nodes take, each once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import TypeAdapter

from fairnad.errors import EndpointError, KnowledgeError, SettingsError
from fairnad.ideas.attribute_tree import AttributeTree
from fairnad.ideas.knowledge import (
    AttributeStructurer,
    Extraction,
    Findings,
    Paper,
    PaperReader,
    PaperVerdict,
    Problem,
    ProblemKind,
    ReferenceModel,
)
from fairnad.ports import BUILT_IN, Errand
from fairnad.records.candidate import Failure
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.runtime.replay import refuse_replay
from graphs.runtime.steps import Steps
from graphs.runtime.tagging import make_tagger

if TYPE_CHECKING:
    from agents.llm.client import LanguageModel
    from prompts.knowledge_pack import KnowledgePack
    from store.knowledge_folder import KnowledgeFolder
    from tools.papers.library import PaperLibrary

Value = TypeVar("Value")
_MOST_UNREACHED = 4
"""Papers in a row for which the endpoint did not answer; the rest are then left for the next start."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What stage 2 made of a paper; ``section`` is the heading of what was read, empty where none was found."""

    extraction: Extraction
    section: str


DESCRIBED: TypeAdapter[Paper | Problem] = TypeAdapter(Paper | Problem)
VERDICT: TypeAdapter[PaperVerdict | Failure] = TypeAdapter(PaperVerdict | Failure)
READING: TypeAdapter[Reading | Failure | Problem] = TypeAdapter(Reading | Failure | Problem)
FINDINGS: TypeAdapter[Findings | Failure] = TypeAdapter(Findings | Failure)


@dataclass
class KnowledgeBench:
    """Everything a node of building needs of the world.

    ``papers`` are those the sources list, by id; ``problems`` what was wrong with sources and models of this start.
    ``num_unreached`` counts the calls in a row that found no endpoint.
    """

    context: KnowledgeContext
    folder: KnowledgeFolder
    knowledge: KnowledgePack
    tree: AttributeTree
    structurer: AttributeStructurer
    reader: PaperReader
    library: PaperLibrary
    language_model: LanguageModel | None
    steps: Steps
    papers: dict[str, Paper] = field(default_factory=dict)
    references: dict[str, ReferenceModel] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    num_unreached: int = 0

    @property
    def is_cut_off(self) -> bool:
        """Whether the endpoint is gone, so that nobody is asked any more in this start."""
        return self.num_unreached >= _MOST_UNREACHED

    async def list_papers(self) -> list[str]:
        """The ids of all papers the sources name, in their order.

        Raises:
            KnowledgeError: there is none.
        """
        papers, problems = await asyncio.to_thread(self.library.list_papers, self.context.sources)
        self.problems += problems
        if not papers:
            why = "; ".join(f"{problem.where}: {problem.kind} ({problem.message})" for problem in problems[:3])
            raise KnowledgeError(f"expected papers to read, found none: {why or 'name files, folders or addresses'}")
        self.papers = {paper.paper_id: paper for paper in papers}
        return list(self.papers)

    async def describe(self, paper_id: str) -> Paper | Problem:
        """The paper with title and abstract. A site that does not answer is asked again at the next start."""
        return await self._once(paper_id, "describe", DESCRIBED, lambda: self._describe(self.papers[paper_id]))

    async def judge(self, paper: Paper) -> PaperVerdict | Failure | Problem:
        """Stage 1."""
        errand = Errand(paper.paper_id, 0, 0)
        return await self._asked(
            paper.title,
            lambda: self.steps.once(paper.paper_id, "filter", 0, VERDICT, lambda: self.reader.judge(errand, paper)),
        )

    async def extract(self, paper: Paper) -> Reading | Failure | Problem:
        """Stage 2."""
        return await self._asked(
            paper.title, lambda: self._once(paper.paper_id, "extract", READING, lambda: self._read(paper))
        )

    async def structure(self, key: str) -> Findings | Failure | Problem:
        """The attributes of one reference model or part of one."""
        model = self.references[key]
        errand = Errand(f"reference {key}", 0, 0)
        return await self._asked(
            model.name,
            lambda: self.steps.once(
                errand.candidate_id, "structure", 0, FINDINGS, lambda: self.structurer.structure(errand, model)
            ),
        )

    async def _once(
        self, paper_id: str, step: str, adapter: TypeAdapter[Value], make: Callable[[], Awaitable[Value]]
    ) -> Value:
        """Like :meth:`graphs.runtime.steps.Steps.once`, but what a site kept back is not stored and is tried again."""
        stored = await self.steps.find(paper_id, step, 0, adapter)
        if stored is not None:
            return stored
        value = await make()
        if isinstance(value, Problem) and value.kind is ProblemKind.UNREACHABLE:
            self.problems.append(value)
            return value

        async def made() -> Value:
            return value

        return await self.steps.once(paper_id, step, 0, adapter, made)

    async def _describe(self, paper: Paper) -> Paper | Problem:
        from tools.papers.documents import DocumentError

        try:
            return await asyncio.to_thread(self.library.describe, paper)
        except DocumentError as error:
            return Problem(error.kind, paper.title or paper.link, str(error))

    async def _read(self, paper: Paper) -> Reading | Failure | Problem:
        from tools.papers.documents import DocumentError

        try:
            passage = await asyncio.to_thread(self.library.read, paper, self.context.method_characters)
        except DocumentError as error:
            return Problem(error.kind, paper.title or paper.link, str(error))
        found = await self.reader.extract(Errand(paper.paper_id, 0, 0), paper, passage)
        return Reading(found, passage.section) if isinstance(found, Extraction) else found

    async def _asked(self, where: str, ask: Callable[[], Awaitable[Value]]) -> Value | Problem:
        """What a role answers; that the endpoint is gone is a problem of this paper, and of those after it."""
        if self.is_cut_off:
            return Problem(ProblemKind.ENDPOINT, where, "not asked, because the endpoint had stopped answering")
        try:
            value = await ask()
        except EndpointError as error:
            self.num_unreached += 1
            self.problems.append(Problem(ProblemKind.ENDPOINT, where, str(error)))
            return self.problems[-1]
        self.num_unreached = 0
        return value

    async def close(self) -> None:
        """Give the folder back."""
        if self.language_model is not None:
            await self.language_model.aclose()
        await asyncio.to_thread(self.library.close)
        await asyncio.to_thread(self.folder.close)


def player(context: KnowledgeContext, role: str) -> str:
    """Who plays a role: the language model's name, or ``built-in``.

    Raises:
        SettingsError: the role asks for a language model, and none is configured.
    """
    wanted = getattr(context.agents, role)
    if wanted == "llm" and not context.llm.title:
        raise SettingsError(f"--agents.{role} llm: no language model is configured; set --llm.model or --llm.models")
    found = context.llm.title if context.llm.title and wanted != "builtin" else BUILT_IN
    if role == "reader" and context.unstructured and found == BUILT_IN:
        raise SettingsError(
            "--unstructured: expected a language model as the reader, found the built-in one, which knows papers by "
            "the tree alone; set --llm.model, or leave --unstructured out"
        )
    return found


async def open_bench(context: KnowledgeContext) -> KnowledgeBench:
    """The bench for these settings; everything a user can get wrong is found here.

    Raises:
        UserError: a setting, the pack, the tree or the folder cannot be used.
    """
    from agents.llm.client import LanguageModel
    from prompts.knowledge_pack import load_knowledge_pack
    from store.knowledge_folder import KnowledgeFolder
    from tools.papers.fetching import PoliteFetcher
    from tools.papers.library import PaperLibrary

    refuse_replay(context.llm)
    by_model = {role: player(context, role) != BUILT_IN for role in ("structurer", "reader")}
    knowledge = await asyncio.to_thread(load_knowledge_pack, context.pack)
    folder = await asyncio.to_thread(KnowledgeFolder.open, Path(context.out))
    try:
        tree = await asyncio.to_thread(read_tree, context, knowledge)
        model = LanguageModel(context.llm, folder.steps) if any(by_model.values()) else None
        fetcher = PoliteFetcher(folder.path / ".fetched", seconds_between=context.request_seconds)
        return KnowledgeBench(
            context=context,
            folder=folder,
            knowledge=knowledge,
            tree=tree,
            structurer=_structurer(knowledge, model if by_model["structurer"] else None),
            reader=await asyncio.to_thread(
                make_reader, context, knowledge, tree, model if by_model["reader"] else None
            ),
            library=PaperLibrary(fetcher, context.arxiv),
            language_model=model,
            steps=Steps(folder.steps),
        )
    except BaseException:
        await asyncio.to_thread(folder.close)
        raise


def read_tree(context: KnowledgeContext, knowledge: KnowledgePack) -> AttributeTree:
    """The tree papers are read with: the one named, the one structured in the out folder, or the pack's.

    Raises:
        PackError: the file is missing or malformed.
    """
    from prompts.pack_files import read_attribute_tree
    from store.knowledge_folder import TREE_NAME

    if context.tree:
        return read_attribute_tree(Path(context.tree))
    structured = Path(context.out) / TREE_NAME
    return read_attribute_tree(structured) if structured.is_file() else knowledge.pack.attribute_tree


def reading_basis(bench: KnowledgeBench) -> Mapping[str, object]:
    """What decides how papers are read, in words a person can compare."""
    from store.knowledge_folder import tree_text

    return {
        "pack": f"{bench.knowledge.pack.name} {bench.knowledge.pack.digest}",
        "tree": hashlib.sha256(tree_text(bench.tree).encode()).hexdigest()[:12],
        "reader": player(bench.context, "reader"),
        "--unstructured": bench.context.unstructured,
        "--method-characters": bench.context.method_characters,
    }


def make_reader(
    context: KnowledgeContext, knowledge: KnowledgePack, tree: AttributeTree, model: LanguageModel | None
) -> PaperReader:
    """The paper reader these settings name."""
    from agents.builtin.paper_reader import BuiltinPaperReader
    from agents.paper_reader import LanguageModelPaperReader

    tagger = make_tagger(knowledge.pack, tree)
    if model is None:
        return BuiltinPaperReader(knowledge.lexicon, tagger)
    return LanguageModelPaperReader(model, knowledge, tree, tagger.tag if context.unstructured else None)


def _structurer(knowledge: KnowledgePack, model: LanguageModel | None) -> AttributeStructurer:
    from agents.attribute_structurer import LanguageModelAttributeStructurer
    from agents.builtin.attribute_structurer import BuiltinAttributeStructurer

    if model is None:
        return BuiltinAttributeStructurer(knowledge.lexicon)
    return LanguageModelAttributeStructurer(model, knowledge)
