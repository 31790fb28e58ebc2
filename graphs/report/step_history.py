"""One line for each stored step of a candidate.

Results are recognised by their form, not by their step, so steps written by another version are described too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairnad.formatting import count_text, duration_text, quantity_text
from store.history_store import StepResult


def describe_steps(steps: Iterable[StepResult]) -> list[tuple[str, str]]:
    """(step and version, its result in words) for each finished step, in order."""
    return [(f"{step.step} {step.version}", _describe_result(step.result.get("result"))) for step in steps]


def newest_source(steps: Iterable[StepResult]) -> str:
    """The newest proposed source; empty if there is none yet."""
    results = [step.result.get("result") for step in steps]
    sources = [result["source"] for result in results if isinstance(result, Mapping) and "source" in result]
    return str(sources[-1]) if sources else ""


def _describe_result(result: Any) -> str:
    match result:
        case {"evaluation": evaluation, "weights_digest": _}:
            return _describe_result(evaluation)
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
    return _describe_search_result(result)


def _describe_search_result(result: Any) -> str:
    match result:
        case {"source": source, **rest}:
            text = str(rest.get("note") or count_text(len(source.splitlines()), "line"))
            return f"{text}; not taken: {rest['discarded']}" if rest.get("discarded") else text
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
            return _describe_result(failure) if failure else "a new architecture"
    return "done"
