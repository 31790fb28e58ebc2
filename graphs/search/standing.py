"""How far a search is, as its state says it."""

from __future__ import annotations

from fairnad.formatting import rate_text
from fairnad.records.history import History
from graphs.candidate.state import SearchState


def standing(history: History, archs: int) -> SearchState:
    """What is found and what is left, where ``archs`` candidates are to be trained."""
    best = history.best
    return {
        "num_trained": len(history.trained),
        "num_left": max(archs - len(history.trained), 0),
        "pass_rate": rate_text(history.pass_rate()),
        "best_id": best.candidate_id if best else "",
        "best_accuracy": best.evaluation.accuracy if best and best.evaluation else None,
    }
