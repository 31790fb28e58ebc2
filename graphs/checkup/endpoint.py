"""The language model: whether its endpoint can be reached, serves the model and answers, and how fast."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.model_entries import ModelEntry
from fairnad.settings import RunContext
from graphs.checkup import Finding, fail, ok, warn
from graphs.roles import cast

if TYPE_CHECKING:
    from agents.endpoint import EndpointReport

_MAX_LISTED = 6


async def examine_endpoint(context: RunContext) -> list[Finding]:
    """Ask every endpoint, where a role is played by a language model."""
    try:
        if not any(cast(context).values()):
            return [ok("model", "none: all roles are built in (--llm.model sets one)")]
        entries = context.llm.entries
        found = [await _examine(context, entry) for entry in entries]
    except SettingsError as error:
        return [fail("model", str(error), "mend the setting")]
    if len(entries) == 1:
        return found[0]
    named = zip(entries, found, strict=True)
    return [replace(one, found=f"{entry.title}: {one.found}") for entry, findings in named for one in findings]


async def _examine(context: RunContext, entry: ModelEntry) -> list[Finding]:
    from agents.endpoint import ask_endpoint, has_key

    variable = entry.key_variable
    is_set = has_key(variable)
    if not entry.base_url and not is_set:
        return [fail("key", f"{variable} is not set", "export it, or set --llm.base-url to another endpoint")]
    report = await ask_endpoint(context.llm, entry)
    key = f"{variable} is set" if is_set else "none set; this endpoint may need none"
    return [ok("key", key), *_served(entry.model, report), _answer(report)]


def _served(model: str, report: EndpointReport) -> list[Finding]:
    if report.models is None:
        return [] if report.fault else [ok("model", f"{report.url} lists no models")]
    if model in report.models:
        return [ok("model", f"{model}, listed by {report.url}")]
    others = ", ".join(report.models[:_MAX_LISTED]) + (", …" if len(report.models) > _MAX_LISTED else "")
    found = f"{report.url} does not list {model}"
    return [warn("model", found, f"--llm.model: it lists {others or 'nothing'}")]


def _answer(report: EndpointReport) -> Finding:
    if report.fault:
        return fail("answer", report.fault, report.advice or "start the server, or set --llm.base-url")
    speed = report.tokens_a_second
    told = f"{report.output_tokens} tokens, {speed:.0f} a second" if speed else "tokens are not counted"
    return ok("answer", f"in {report.seconds:.1f} s; {told}")
