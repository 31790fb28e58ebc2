"""How a check job fails on a source."""

from fairnad.domain.contract import Contract
from fairnad.records.candidate import Failure, Step
from tools.jobs import check_job
from tools.jobs.network_source import SourceError, complaint


def failure_of(source: str, side: int = 16) -> Failure:
    """How a check job fails on a source, run in this process."""
    try:
        check_job.check(source, {"contract": Contract.for_images(side, 10).to_json(), "seed": 0, "integrity": "off"})
    except FAULTS as error:
        found = complaint(error)
        return Failure(Step.EXECUTE, found.kind, found.message, found.log_tail)
    raise AssertionError("the source runs")


FAULTS = (
    AssertionError,
    AttributeError,
    ImportError,
    NameError,
    RuntimeError,
    SourceError,
    SyntaxError,
    TypeError,
    ValueError,
)
