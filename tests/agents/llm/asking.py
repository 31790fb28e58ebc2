"""How the tests of the client ask."""

from collections.abc import Callable

from agents.llm.client import LanguageModel
from fairnad.ports import Answer, CallContext
from fairnad.records.candidate import Failure, Step
from tests.openai_server import Reply, Script, ScriptedServer

Connect = Callable[..., LanguageModel]
Serve = Callable[[Script], ScriptedServer]
MESSAGES = (("system", "You design networks."), ("user", "Design one."))


def in_turn(*replies: Reply) -> Script:
    """A script that gives each reply once, in order; one request more is a failing test."""
    left = iter(replies)
    return lambda request: next(left)


async def ask(model: LanguageModel, context: CallContext, **options: object) -> Answer | Failure:
    return await model.complete("mutation", context, MESSAGES, step=Step.MUTATE, **options)  # type: ignore[arg-type]
