"""What happened to one candidate, told from its stored steps.

A result is known by its form, not by its step, so that steps of every kind, also those of another version of this
program, are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairnad.formatting import count_text, duration_text, quantity_text
from store.history_store import StepResult


def story(steps: Iterable[StepResult]) -> list[tuple[str, str]]:
    """(step with its version, what came of it) for each finished step, in their order."""
    return [(f"{step.step} {step.version}", _told(step.result.get("result"))) for step in steps]


def newest_source(steps: Iterable[StepResult]) -> str:
    """The last source that was proposed, empty where there is none yet."""
    results = [step.result.get("result") for step in steps]
    sources = [result["source"] for result in results if isinstance(result, Mapping) and "source" in result]
    return str(sources[-1]) if sources else ""


def _told(result: Any) -> str:
    match result:
        case {"evaluation": evaluation, "weights_digest": _}:
            return _told(evaluation)
        case {"winner_id": winner_id, "finalists": finalists}:
            return f"{winner_id} won of {len(finalists)}"
        case {"folder": place, "trial": _} | {"archive": place, "trial": _}:
            return str(place)
        case [{"module_id": _}, *_]:
            return ", ".join(module["name"] for module in result)
        case []:
            return "no new module"
        case float():
            return f"accuracy {result:.4f}"
    return _told_in_search(result)


def _told_in_search(result: Any) -> str:
    match result:
        case {"source": source, **rest}:
            told = str(rest.get("note") or count_text(len(source.splitlines()), "line"))
            return f"{told}; not taken: {rest['discarded']}" if rest.get("discarded") else told
        case {"kind": kind, "message": message}:
            return f"{kind}: {message}"
        case {"accuracy": accuracy, "seconds": seconds}:
            return f"accuracy {accuracy:.4f} after {duration_text(seconds)}"
        case {"costs": costs}:
            return "runs, " + ", ".join(f"{quantity_text(cost)} {name}" for name, cost in costs.items())
        case {"changed": changed, "multi_layer": multi_layer, "reason": reason}:
            words = ["changed" if changed else "unchanged", "multi-layer" if multi_layer else "single layer"]
            return ", ".join(words) + (f": {reason}" if reason else "")
        case {"idea": {"text": text}, "target": _}:
            return str(text) or "no idea yet"
        case {"edit": text}:
            return f"edited by a person: {text}"
        case "approve" | "reject" as decision:
            return f"a person said {decision}"
        case {"fingerprint": _, "failure": failure}:
            return _told(failure) if failure else "a new architecture"
    return "done"
