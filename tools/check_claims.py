"""Schemas for the reports of check and measure jobs, which come from untrusted code."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveInt,
    Strict,
    StringConstraints,
    model_validator,
)

from fairnad.records.candidate import INTEGRITY_KINDS, FailureKind
from tools.delivery import FREE, Role, num_params
from tools.jobs.weights import WeightTensor


def _storable(layout: tuple[WeightTensor, ...]) -> tuple[WeightTensor, ...]:
    """Refuse names that a weights file cannot hold; no state dict has them."""
    names = {tensor.name for tensor in layout}
    if len(names) < len(layout) or "__metadata__" in names:
        raise ValueError("each weight needs a unique name")
    return layout


class Measured(BaseModel):
    """The schema of a measure job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    latency_ms: Annotated[FiniteFloat, Field(gt=0)]
    activation_bytes: NonNegativeInt


def _of_integrity(kind: FailureKind) -> FailureKind:
    if kind not in INTEGRITY_KINDS:
        raise ValueError("expected the kind of an integrity verdict")
    return kind


class FindingClaim(BaseModel):
    """A finding of the integrity verdicts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Annotated[FailureKind, Strict(False), AfterValidator(_of_integrity)]
    message: Annotated[str, StringConstraints(max_length=1000)]
    is_fault: bool


class Refusal(BaseModel):
    """The schema of a check job's report if a fault ended it early."""

    model_config = ConfigDict(extra="forbid", strict=True)

    findings: tuple[FindingClaim, ...]

    @model_validator(mode="after")
    def _has_a_reason(self) -> Self:
        if not any(finding.is_fault for finding in self.findings):
            raise ValueError("a refusal needs a fault")
        return self


class Claims(BaseModel):
    """The schema of a check job's report."""

    model_config = ConfigDict(extra="forbid", strict=True)

    costs: dict[Annotated[str, StringConstraints(pattern=r"^(params|flops)$")], NonNegativeInt] = Field(min_length=2)
    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    num_repeats: PositiveInt
    num_buffer_elements: NonNegativeInt
    weights: Annotated[tuple[WeightTensor, ...], AfterValidator(_storable)]
    roles: tuple[Annotated[Role, Strict(False)], ...]
    copies: tuple[tuple[NonNegativeInt, NonNegativeInt], ...]
    tables: tuple[tuple[NonNegativeInt, Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]], ...]
    num_unregistered: NonNegativeInt
    blocks: tuple[tuple[str, str, tuple[int, ...]], ...]
    findings: tuple[FindingClaim, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """Check that delivered tensors match the counts, and that every copy has an original."""
        if len(self.roles) != len(self.weights):
            raise ValueError("every tensor needs a role")
        if num_params(self.weights, self.roles) + self.num_unregistered != self.costs["params"]:
            raise ValueError("the parameters differ from the delivered ones")
        copies = {copy for copy, original in self.copies if original < copy and self._are_alike(copy, original)}
        if copies != {number for number, role in enumerate(self.roles) if role is Role.COPY}:
            raise ValueError("a copy has no original")
        if {table for table, _ in self.tables} != {n for n, role in enumerate(self.roles) if role in FREE}:
            raise ValueError("every table needs a digest")
        return self

    def _are_alike(self, copy: int, original: int) -> bool:
        return copy < len(self.weights) and self.weights[copy][1:] == self.weights[original][1:]
