"""Checks the language models: endpoint, model, answer, speed and price."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fairnad.errors import ReplayError, UserError
from fairnad.formatting import count_text
from fairnad.ideas.idea import Idea, IdeaKind, MutationTarget
from fairnad.records.prices import price_of
from fairnad.settings.casting import asks_model
from fairnad.settings.model_entries import ModelEntry
from fairnad.settings.search_settings import RunContext
from graphs.cli.doctor import Finding, fail, ok, warn
from graphs.runtime.inputs import task_defaults
from graphs.runtime.module_library import NUM_MODULES
from graphs.runtime.replay import find_recorded_calls

if TYPE_CHECKING:
    from agents.llm.endpoint_check import EndpointReport
    from prompts.templates import Messages

_MAX_LISTED = 6


async def examine_endpoint(context: RunContext) -> list[Finding]:
    """Send a request to every endpoint, unless all roles are built in or a recorded run is replayed."""
    try:
        if not asks_model(context):
            return [ok("model", "none: all roles are built in (--llm.model sets one)")]
        if context.llm.replay:
            return [_recording(context)]
        entries = context.llm.models
        found = [[*await _examine(context, entry), *_limits(context, entry)] for entry in entries]
    except ReplayError as error:
        return [fail("model", str(error), "name a run with recorded calls")]
    except UserError as error:
        return [fail("model", str(error), "correct the setting")]
    if len(entries) == 1:
        return found[0]
    named = zip(entries, found, strict=True)
    return [replace(one, found=f"{entry.title}: {one.found}") for entry, findings in named for one in findings]


async def _examine(context: RunContext, entry: ModelEntry) -> list[Finding]:
    from agents.llm.endpoint_check import ask_endpoint

    variable = entry.key_variable
    is_set = bool(os.environ.get(variable))
    if not entry.base_url and not is_set:
        return [
            fail("key", f"{variable} is not set", f"export it, or set {_flag(context, 'base_url')} to another endpoint")
        ]
    report = await ask_endpoint(context.llm, entry, await asyncio.to_thread(_prompts, context))
    key = f"{variable} is set" if is_set else "none set; this endpoint may need none"
    return [ok("key", key), *_served(context, entry.model, report), _answer(context, report)]


def _prompts(context: RunContext) -> list[Messages]:
    """The mutation prompt for the base, whole and shortened to fit the context.

    Raises:
        UserError: the pack, task or base is unknown.
    """
    from prompts.loader import load_pack

    pack = load_pack(context.pack, context.prompts)
    idea = Idea(pack.upscaling_ideas[0], IdeaKind.UPSCALE)
    variables = {
        "idea": pack.format_idea(idea, MutationTarget.NETWORK),
        "parent": pack.base_source(context.base or task_defaults(context).base),
        "lessons": "",
    }
    offers = (list(pack.library.offered[:NUM_MODULES]), "") if not context.paper_mode else ("",)
    return [pack.messages("mutation", **variables, parts=parts) for parts in offers]


def _recording(context: RunContext) -> Finding:
    """The finding about the calls to replay.

    Raises:
        ReplayError: there are no calls, or they cannot be read.
    """
    from store.call_file import read_calls

    path = find_recorded_calls(context.llm.replay, context.runs)
    num_calls = sum(1 for _ in read_calls(path))
    return ok("model", f"{context.llm.title}, replayed from {count_text(num_calls, 'call')} in {path}; no endpoint")


def _limits(context: RunContext, entry: ModelEntry) -> list[Finding]:
    """Findings about price and limits of a model."""
    limit, price = context.limit, price_of(entry)
    found = []
    if limit.usd is not None and price.is_known:
        found.append(
            ok("price", f"{price.input:g} USD per million prompt tokens, {price.output:g} per million reply tokens")
        )
    elif limit.usd is not None:
        advice = f"set {_flag(context, 'price_input')} and {_flag(context, 'price_output')}"
        found.append(fail("price", f"unknown, but --limit.usd {limit.usd:g} needs it", advice))
    most = price.usage(0, entry.max_tokens)
    for name, needed, allowed in (("usd", most.usd, limit.usd), ("tokens", most.tokens, limit.tokens)):
        if allowed is not None and needed > allowed:
            problem = f"one reply may take {needed:,.6g}, but --limit.{name} is {allowed:,.10g}: no call can be made"
            found.append(warn("limit", problem, f"raise --limit.{name}, or lower --llm.max-tokens"))
    return found


def _served(context: RunContext, model: str, report: EndpointReport) -> list[Finding]:
    if report.models is None:
        return [] if report.fault else [ok("model", f"{report.url} lists no models")]
    if model in report.models:
        return [ok("model", f"{model}, listed by {report.url}")]
    others = ", ".join(report.models[:_MAX_LISTED]) + (", …" if len(report.models) > _MAX_LISTED else "")
    found = f"{report.url} does not list {model}"
    return [warn("model", found, f"{_flag(context, 'model')}: it lists {others or 'nothing'}")]


def _answer(context: RunContext, report: EndpointReport) -> Finding:
    if report.fault:
        return fail("answer", report.fault, report.advice or f"start the server, or set {_flag(context, 'base_url')}")
    speed = report.tokens_a_second
    rate = f"{report.output_tokens} tokens, {speed:.0f} per second" if speed else "the endpoint does not count tokens"
    return ok("answer", "; ".join([f"in {report.seconds:.1f} s", rate, *report.quirks]))


def _flag(context: RunContext, name: str) -> str:
    """The flag of a model's setting, or its place in the list of models."""
    return f"{name} of its entry" if len(context.llm.models) > 1 else f"--llm.{name.replace('_', '-')}"
