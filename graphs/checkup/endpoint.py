"""The language model: whether its endpoint can be reached, serves the model and answers, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairnad.errors import SettingsError
from fairnad.settings import RunContext
from graphs.checkup import Finding, fail, ok, warn
from graphs.roles import cast

if TYPE_CHECKING:
    from agents.endpoint import EndpointReport

_MAX_LISTED = 6


async def examine_endpoint(context: RunContext) -> list[Finding]:
    """Ask the endpoint, where a role is played by a language model."""
    try:
        if not any(cast(context).values()):
            return [ok("model", "none: all roles are built in (--llm.model sets one)")]
        from agents.endpoint import ask_endpoint, has_key

        if not context.llm.base_url and not has_key():
            return [fail("key", "OPENAI_API_KEY is not set", "export it, or set --llm.base-url to another endpoint")]
        report = await ask_endpoint(context.llm)
    except SettingsError as error:
        return [fail("model", str(error), "mend the setting")]
    key = "OPENAI_API_KEY is set" if has_key() else "none set; this endpoint may need none"
    return [ok("key", key), *_served(context, report), _answer(report)]


def _served(context: RunContext, report: EndpointReport) -> list[Finding]:
    if report.models is None:
        return [] if report.fault else [ok("model", f"{report.url} lists no models")]
    if context.llm.model in report.models:
        return [ok("model", f"{context.llm.model}, listed by {report.url}")]
    others = ", ".join(report.models[:_MAX_LISTED]) + (", …" if len(report.models) > _MAX_LISTED else "")
    found = f"{report.url} does not list {context.llm.model}"
    return [warn("model", found, f"--llm.model: it lists {others or 'nothing'}")]


def _answer(report: EndpointReport) -> Finding:
    if report.fault:
        return fail("answer", report.fault, report.advice or "start the server, or set --llm.base-url")
    speed = report.tokens_a_second
    told = f"{report.output_tokens} tokens, {speed:.0f} a second" if speed else "tokens are not counted"
    return ok("answer", f"in {report.seconds:.1f} s; {told}")
