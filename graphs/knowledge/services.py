"""The services of building knowledge: the live objects of one knowledge folder, and the steps of its nodes."""

from __future__ import annotations

import asyncio
import contextlib
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
from fairnad.ports import BUILT_IN, CallContext
from fairnad.records.candidate import Failure
from fairnad.search.model_choice import entries_of_role
from fairnad.settings.casting import name_players
from fairnad.settings.knowledge_settings import KnowledgeContext
from graphs.runtime.registry import Registry
from graphs.runtime.replay import refuse_replay
from graphs.runtime.steps import Steps
from graphs.runtime.tagging import make_tagger

if TYPE_CHECKING:
    from agents.llm.client import LanguageModel
    from prompts.knowledge_pack import KnowledgePack
    from store.knowledge_folder import KnowledgeFolder
    from tools.papers.library import PaperLibrary

Value = TypeVar("Value")
METHOD_CHARACTERS = 24_000
"""Maximum characters of a paper's method section."""
CODE_CHARACTERS = 24_000
"""Maximum characters of a reference model in one prompt."""
REQUEST_SECONDS = 3.0
"""Pause between two requests to a web site, as arXiv asks for."""
_BUILT_IN_READERS = 16
_MOST_UNREACHED = 4
"""Consecutive calls without an answer of the endpoint, after which the other papers wait for the next start."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Stage 2 of a paper; ``section`` is the heading of the text that was read, empty if no heading was found."""

    extraction: Extraction
    section: str


DESCRIBED: TypeAdapter[Paper | Problem] = TypeAdapter(Paper | Problem)
VERDICT: TypeAdapter[PaperVerdict | Failure] = TypeAdapter(PaperVerdict | Failure)
READING: TypeAdapter[Reading | Failure | Problem] = TypeAdapter(Reading | Failure | Problem)
FINDINGS: TypeAdapter[Findings | Failure] = TypeAdapter(Findings | Failure)


@dataclass
class KnowledgeServices:
    """What the nodes of a build or a structuring need.

    ``problems`` lists the problems with sources, models and papers in this start; ``num_unreached`` counts consecutive
    calls without an answer of the endpoint.
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
    problems: list[Problem] = field(default_factory=list)
    num_unreached: int = 0
    papers: dict[str, Paper] = field(default_factory=dict)
    _references: dict[str, ReferenceModel] = field(default_factory=dict)

    @property
    def is_cut_off(self) -> bool:
        """Whether the endpoint stopped answering; this start then makes no further calls."""
        return self.num_unreached >= _MOST_UNREACHED

    async def list_papers(self) -> Mapping[str, Paper]:
        """The papers of all sources by id, in order; read once.

        Raises:
            KnowledgeError: nothing was found.
        """
        if not self.papers:
            papers, problems = await asyncio.to_thread(self.library.list_papers, self.context.sources)
            self.problems += problems
            if not papers:
                why = self.describe_problems() or "name files, folders or addresses"
                raise KnowledgeError(f"expected papers to read, found none: {why}")
            self.papers = {paper.paper_id: paper for paper in papers}
        return self.papers

    async def list_references(self) -> Mapping[str, ReferenceModel]:
        """The reference models, or their parts, by key; read once.

        Raises:
            KnowledgeError: nothing was found.
        """
        if not self._references:
            models = await asyncio.to_thread(self._read_references)
            self._references = {f"{model.name} {model.part}": model for model in models}
            if not models:
                why = self.describe_problems() or "the pack names none in knowledge/knowledge.toml"
                raise KnowledgeError(f"expected reference models, found none: {why}")
        return self._references

    def _read_references(self) -> list[ReferenceModel]:
        from tools.reference_sources import read_reference

        models: list[ReferenceModel] = []
        for reference in self.knowledge.references:
            found = read_reference(reference.name, reference.module, reference.entries, CODE_CHARACTERS)
            if isinstance(found, Problem):
                self.problems.append(found)
            else:
                models += found
        return models

    def describe_problems(self) -> str:
        """The first problems in one line."""
        return "; ".join(f"{problem.where}: {problem.kind} ({problem.message})" for problem in self.problems[:3])

    async def describe(self, paper_id: str) -> Paper | Problem:
        """The paper with title and abstract. If a site does not answer, the next start tries again."""

        async def make() -> Paper | Problem:
            from tools.papers.documents import DocumentError

            paper = (await self.list_papers())[paper_id]
            try:
                return await asyncio.to_thread(self.library.describe, paper)
            except DocumentError as error:
                return Problem(error.kind, paper.title or paper.link, str(error))

        return await self._once(paper_id, "describe", DESCRIBED, make)

    async def judge(self, paper: Paper) -> PaperVerdict | Failure | Problem:
        """Stage 1."""
        context = CallContext(paper.paper_id, 0, 0)
        return await self._ask(
            paper.title, paper.paper_id, "filter", VERDICT, lambda: self.reader.judge(context, paper)
        )

    async def extract(self, paper: Paper) -> Reading | Failure | Problem:
        """Stage 2."""
        return await self._ask(paper.title, paper.paper_id, "extract", READING, lambda: self._read(paper))

    async def _read(self, paper: Paper) -> Reading | Failure | Problem:
        from tools.papers.documents import DocumentError

        try:
            passage = await asyncio.to_thread(self.library.read, paper, METHOD_CHARACTERS)
        except DocumentError as error:
            return Problem(error.kind, paper.title or paper.link, str(error))
        found = await self.reader.extract(CallContext(paper.paper_id, 0, 0), paper, passage)
        return Reading(found, passage.section) if isinstance(found, Extraction) else found

    async def structure(self, key: str) -> Findings | Failure | Problem:
        """The attributes of one reference model or part of one."""
        model = (await self.list_references())[key]
        context = CallContext(f"reference {key}", 0, 0)
        return await self._ask(
            model.name,
            context.candidate_id,
            "structure",
            FINDINGS,
            lambda: self.structurer.structure(context, model),
        )

    async def _ask(
        self, where: str, key: str, step: str, adapter: TypeAdapter[Value], make: Callable[[], Awaitable[Value]]
    ) -> Value | Problem:
        """The answer of a role. An unreachable endpoint is a problem of this paper, and then of all later papers."""
        if self.is_cut_off:
            return Problem(ProblemKind.ENDPOINT, where, "not asked, because the endpoint had stopped answering")
        try:
            value = await self._once(key, step, adapter, make)
        except EndpointError as error:
            self.num_unreached += 1
            self.problems.append(Problem(ProblemKind.ENDPOINT, where, str(error)))
            return self.problems[-1]
        self.num_unreached = 0
        return value

    async def _once(
        self, key: str, step: str, adapter: TypeAdapter[Value], make: Callable[[], Awaitable[Value]]
    ) -> Value:
        """Like :meth:`graphs.runtime.steps.Steps.once`, but the failure of a site is not stored, so it is retried."""
        stored = await self.steps.find(key, step, 0, adapter)
        if stored is not None:
            return stored
        value = await make()
        if isinstance(value, Problem) and value.kind is ProblemKind.UNREACHABLE:
            self.problems.append(value)
            return value

        async def made() -> Value:
            return value

        return await self.steps.once(key, step, 0, adapter, made)

    def reading_basis(self) -> Mapping[str, object]:
        """The settings that decide how papers are read, for the folder to compare."""
        from store.knowledge_folder import tree_text

        return {
            "pack": f"{self.knowledge.pack.name} {self.knowledge.pack.digest}",
            "tree": hashlib.sha256(tree_text(self.tree).encode()).hexdigest()[:12],
            "reader": player(self.context, "reader"),
            "--unstructured": not self.context.uses_tree,
            "--method-characters": METHOD_CHARACTERS,
        }

    def structuring_basis(self) -> Mapping[str, object]:
        """The settings that decide how reference models are structured, for the folder to compare."""
        return {
            "pack": f"{self.knowledge.pack.name} {self.knowledge.pack.digest}",
            "structurer": player(self.context, "structurer"),
            "--code-characters": CODE_CHARACTERS,
        }

    async def close(self) -> None:
        """Close the language model, the library and the folder."""
        if self.language_model is not None:
            await self.language_model.aclose()
        await asyncio.to_thread(self.library.close)
        await asyncio.to_thread(self.folder.close)


def num_papers_at_once(context: KnowledgeContext) -> int:
    """The number of papers read in parallel: the sum of the parallel calls of all reader models."""
    return sum(entry.concurrency for entry in entries_of_role(context.llm.models, "reader")) or _BUILT_IN_READERS


def player(context: KnowledgeContext, role: str) -> str:
    """The player of a role: the name of the language model, or ``built-in``.

    Raises:
        SettingsError: the role requires a language model, and none is configured.
    """
    found = name_players(context, (role,))[role]
    if role == "reader" and not context.uses_tree and found == BUILT_IN:
        raise SettingsError(
            "--tree none: expected a language model as the reader, found the built-in reader, which needs the tree; "
            "set --llm.model, or omit --tree"
        )
    return found


async def open_services(context: KnowledgeContext) -> KnowledgeServices:
    """Open the services for these settings; this finds every mistake of the user.

    Raises:
        UserError: a setting, the pack, the tree or the folder cannot be used.
    """
    from agents.attribute_structurer import LanguageModelAttributeStructurer
    from agents.builtin.attribute_structurer import BuiltinAttributeStructurer
    from agents.llm.client import LanguageModel
    from prompts.knowledge_pack import load_knowledge_pack
    from store.knowledge_folder import KnowledgeFolder
    from tools.papers import sites
    from tools.papers.fetching import PoliteFetcher
    from tools.papers.library import PaperLibrary

    refuse_replay(context.llm)
    by_model = {role: player(context, role) != BUILT_IN for role in ("structurer", "reader")}
    knowledge = await asyncio.to_thread(load_knowledge_pack, context.pack)
    folder = await asyncio.to_thread(KnowledgeFolder.open, Path(context.out))
    async with contextlib.AsyncExitStack() as on_error:
        on_error.push_async_callback(asyncio.to_thread, folder.close)
        tree = await asyncio.to_thread(read_tree, context, knowledge)
        model = LanguageModel(context.llm, folder.steps) if any(by_model.values()) else None
        structurer = (
            LanguageModelAttributeStructurer(model, knowledge)
            if model is not None and by_model["structurer"]
            else BuiltinAttributeStructurer(knowledge.lexicon)
        )
        reader_model = model if by_model["reader"] else None
        fetcher = PoliteFetcher(folder.path / ".fetched", seconds_between=REQUEST_SECONDS)
        opened = KnowledgeServices(
            context=context,
            folder=folder,
            knowledge=knowledge,
            tree=tree,
            structurer=structurer,
            reader=await asyncio.to_thread(make_reader, context, knowledge, tree, reader_model),
            library=PaperLibrary(fetcher, sites.ARXIV_INTERFACE),
            language_model=model,
            steps=Steps(folder.steps),
        )
        on_error.pop_all()
    return opened


REGISTRY: Registry[KnowledgeContext, KnowledgeServices] = Registry(
    open_services,
    lambda context: context.out,
    busy=KnowledgeError,
    remedy="wait until that ends, or choose another --out",
)
"""Open services by their folder."""


def read_tree(context: KnowledgeContext, knowledge: KnowledgePack) -> AttributeTree:
    """The attribute tree for reading papers: from ``--tree``, from the ``--out`` folder, or from the pack.

    Raises:
        PackError: the file is missing or malformed.
    """
    from prompts.pack_files import read_attribute_tree
    from store.knowledge_folder import TREE_NAME

    if context.tree and context.uses_tree:
        return read_attribute_tree(Path(context.tree))
    structured = Path(context.out) / TREE_NAME
    return read_attribute_tree(structured) if structured.is_file() else knowledge.pack.attribute_tree


def make_reader(
    context: KnowledgeContext, knowledge: KnowledgePack, tree: AttributeTree, model: LanguageModel | None
) -> PaperReader:
    """The paper reader of these settings."""
    from agents.builtin.paper_reader import BuiltinPaperReader
    from agents.paper_reader import LanguageModelPaperReader

    tagger = make_tagger(knowledge.pack, tree)
    if model is None:
        return BuiltinPaperReader(knowledge.lexicon, tagger)
    return LanguageModelPaperReader(model, knowledge, tree, tagger.tag if not context.uses_tree else None)
