"""The lab as LangChain tools, for a tool node: costs against budgets, and training."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from fairnad.domain import budget
from fairnad.domain.budget import Budget
from fairnad.errors import LabError
from fairnad.records.candidate import CheckReport, Evaluation, Failure, plain

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


class CandidateJobs(Protocol):
    """Checks and trains candidates by id and version, each at most once."""

    @property
    def budgets(self) -> Sequence[Budget]:
        """The limits of the run."""

    async def check(self, candidate_id: str, version: int) -> CheckReport | Failure:
        """The check job's report on one version of a candidate."""

    async def train(self, candidate_id: str, version: int) -> Evaluation | Failure:
        """The evaluation of one version of a candidate."""


def make_tools(find_jobs: Callable[[], Awaitable[CandidateJobs]]) -> tuple[BaseTool, BaseTool]:
    """The tools ``evaluate_budget`` and ``train_candidate``.

    Args:
        find_jobs: returns the jobs of the running graph; called with each call of a tool.
    """
    from langchain_core.tools import tool

    @tool
    async def evaluate_budget(candidate_id: str, version: int) -> dict[str, Any]:
        """Costs of a candidate, each also as a share of its limit, and the names of the limits it is over."""
        jobs = await find_jobs()
        report = await jobs.check(candidate_id, version)
        if isinstance(report, Failure):
            raise LabError(f"{candidate_id} ran, but could not be measured: {report.message}")
        shares = budget.load(report.costs, jobs.budgets)
        over = [name for name, share in shares.items() if share > 1]
        return {"costs": dict(report.costs), "shares": shares, "over": over}

    @tool
    async def train_candidate(candidate_id: str, version: int) -> dict[str, Any]:
        """Train a candidate; its validation accuracy in [0, 1], or the failure."""
        jobs = await find_jobs()
        result = await jobs.train(candidate_id, version)
        return {"failure": plain(result)} if isinstance(result, Failure) else {"accuracy": result.accuracy}

    return evaluate_budget, train_candidate
