"""The downscaler: makes a source fit its budgets (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.proposals import SourceWriter
from fairnad.ports import DownscaleRequest, Proposal
from fairnad.records.candidate import Failure, Step


class LanguageModelDownscaler(SourceWriter):
    """A :class:`fairnad.ports.Downscaler` that asks a language model."""

    async def downscale(self, request: DownscaleRequest) -> Proposal | Failure:
        """The oversized source, made smaller. A prompt that is too long loses the parent, then the request."""
        source = request.oversized.source
        variables = {
            "oversized": source,
            "parent": request.parent.source,
            "prompt": request.prompt,
            "shrinking": self._pack.single_use_idea if request.single_use else request.shrinking,
            "single_use": request.single_use,
        }
        prompts, droppable = ("downscale", "downscale_edit"), ("parent", "prompt")
        written = await self._write(
            *prompts, variables, droppable, context=request.context, source=source, step=Step.DOWNSCALE
        )
        return written if isinstance(written, Failure) else Proposal(written.source, request.prompt, note=written.note)
