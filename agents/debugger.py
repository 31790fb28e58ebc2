"""The debugger: repairs a source that does not run (paper §4.4, F.2.5)."""

from __future__ import annotations

from agents.proposals import SourceWriter
from fairnad.ports import DebugRequest, Proposal
from fairnad.records.candidate import Failure, Step


class LanguageModelDebugger(SourceWriter):
    """A :class:`fairnad.ports.Debugger` that asks a language model."""

    async def debug(self, request: DebugRequest) -> Proposal | Failure:
        """The failed source, repaired; a failure, without a call, for the kinds that the draw decided to resample.

        A prompt that is too long loses the parent, then the shapes, then the traceback.
        """
        failure = request.failure
        if failure.kind in request.context.choices.resample:
            return Failure(Step.DEBUG, failure.kind, "a fresh draw is expected to work better than a repair")
        variables = {
            "failed": request.failed,
            "parent": request.parent.source,
            "prompt": request.prompt,
            "error": f"{failure.kind}: {failure.message}",
            "traceback": failure.log_tail,
            "shapes": failure.shape_trace,
        }
        droppable = ("parent", "shapes", "traceback")
        written = await self._write(
            "debug", "debug_edit", variables, droppable, context=request.context, source=request.failed, step=Step.DEBUG
        )
        return written if isinstance(written, Failure) else Proposal(written.source, request.prompt, note=written.note)
