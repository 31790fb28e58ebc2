"""A scripted language model with a known fault rate: it designs correctly, then spoils replies at random.

What it designs it takes from the built-in designer, at random for each prompt, and writes it in the form it is asked
for. Whether a reply is spoiled depends on its length alone: each thousand tokens it writes hold ``FAULTS_A_THOUSAND``
faults on average, so a reply of n tokens is whole with probability exp(-rate·n / 1000). How it is spoiled is the same
for every form. It follows rules, and knows no language: it shows what a loop makes of such a model, nothing about
prompts.
"""

from __future__ import annotations

import ast
import hashlib
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agents.builtin.catalogue import transformations
from agents.builtin.scaling import Size, Sizing, shrinking_sizes
from agents.builtin.source_editor import SourceEditor, UnreadableSourceError
from benchmarks.scripted_forms import form_of, write_file, write_module
from prompts.loader import load_pack
from tests.openai_server import Reply, Request, prompt_of

TRANSFORMATIONS = transformations(load_pack("vision").library)

CHARACTERS_A_TOKEN = 4

FAULTS_A_THOUSAND: Mapping[str, float] = {"mutate": 0.5, "refine": 0.5, "debug": 1.5, "downscale": 0.7}
"""Faults a thousand tokens of a reply, by role."""

FAULTS: Mapping[str, float] = {
    "truncated": 0.20,
    "hallucinated": 0.20,
    "shape": 0.25,
    "oversized": 0.15,
    "unchanged": 0.10,
    "prose": 0.10,
}
"""Kinds of faults in a reply."""

SHARE_OF_WRONG_VERDICTS = 0.10
SHARE_OF_VERDICTS_WITHOUT_FORM = 0.03
SHARE_OF_LOST_CONTINUATIONS = 0.5
"""Fraction of continued replies that are cut off again."""

TRANSPORT: Mapping[str, float] = {"429": 0.03, "500": 0.03, "slow": 0.03}
"""Fractions of all requests, independent of their length."""
SLOW_SECONDS = 0.3

_SIGNS = {
    "debug": "expert at repairing PyTorch networks",
    "downscale": "expert at making PyTorch networks cheaper",
    "judge": "judge whether a network is a new architecture",
    "refine": "was changed by an idea, and",
}
_SOURCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PARSING = threading.Lock()
"""Python 3.11 counts the depth of syntax trees for all threads together, and fails where two of them build one."""
_NO_CODE = "The idea is promising. I would begin with the blocks of the last stage, and measure what it does there."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: ``parent`` is the source to work on, ``others`` what else is shown."""

    role: str
    form: str
    sources: tuple[str, ...]

    @property
    def source(self) -> str:
        """The source to be changed, which stands last where a new idea is carried out and first elsewhere."""
        return self.sources[-1 if self.role in ("mutate", "refine") else 0]


class ScriptedModel:
    """A script for a :class:`tests.openai_server.ScriptedServer`; the same prompt gets another reply each time.

    ``faults`` counts what was done to replies, ``by_role`` the requests.
    """

    def __init__(self, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self.by_role: Counter[str] = Counter()
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._cut: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        """The reply to a request."""
        prompt = prompt_of(request)
        with self._lock:
            self._asked[prompt] += 1
            words = f"{self._seed} {self._asked[prompt]} {prompt}"
            self.by_role[role_of(request)] += 1
        generator = random.Random(hashlib.sha256(words.encode("utf-8", "replace")).digest())
        event = _drawn({**TRANSPORT, "": 1 - sum(TRANSPORT.values())}, generator)
        if event in ("429", "500"):
            self._note(event)
            return Reply.error(int(event), "not now", headers={"retry-after": "0"})
        reply = self._reply(request, prompt, generator)
        if event == "slow":
            self._note(event)
            threading.Event().wait(SLOW_SECONDS)
        return reply

    def _note(self, fault: str) -> None:
        with self._lock:
            self.faults[fault] += 1

    def _reply(self, request: Request, prompt: str, generator: random.Random) -> Reply:
        last = request["messages"][-1]["content"]
        if (rest := self._cut.get(_first_words(request))) is not None and "Go on exactly where it stopped" in last:
            if generator.random() < SHARE_OF_LOST_CONTINUATIONS:
                return _counted(prompt, rest[: len(rest) // 2], finish="length")
            return _counted(prompt, rest)
        asked = read(request)
        if asked.role == "judge":
            return _counted(prompt, self._verdict(asked, generator))
        return self._write(request, prompt, asked, generator)

    def _verdict(self, asked: Asked, generator: random.Random) -> str:
        if generator.random() < SHARE_OF_VERDICTS_WITHOUT_FORM:
            self._note("verdict without form")
            return '{"changed": true, "multi_layer": '
        changed = _meaning(asked.sources[0]) != _meaning(asked.sources[-1])
        multi_layer = True
        if generator.random() < SHARE_OF_WRONG_VERDICTS:
            self._note("wrong verdict")
            if changed:
                multi_layer = False
            else:
                changed = True
        words = {True: "yes", False: "no"}
        final = words[changed and multi_layer]
        return (
            f"The two sources were compared.\n\nchanged: {words[changed]} - by its text\n"
            f"multi-layer: {words[multi_layer]} - by its loops\n##response## {final}"
        )

    def _write(self, request: Request, prompt: str, asked: Asked, generator: random.Random) -> Reply:
        text = _design(request, asked, "", generator)
        whole = math.exp(-FAULTS_A_THOUSAND[asked.role] * len(text) / CHARACTERS_A_TOKEN / 1000)
        if generator.random() < whole:
            return _counted(prompt, text)
        fault = _drawn(FAULTS, generator)
        self._note(fault)
        if fault == "prose":
            return _counted(prompt, _NO_CODE)
        if fault == "truncated":
            cut = int(len(text) * generator.uniform(0.4, 0.9))
            with self._lock:
                self._cut[_first_words(request)] = text[cut:]
            return _counted(prompt, text[:cut], finish="length")
        return _counted(prompt, _design(request, asked, fault, generator))


def role_of(request: Request) -> str:
    """The role that asks, by its system prompt: mutate, refine, debug, downscale or judge."""
    system = request["messages"][0]["content"]
    return next((role for role, sign in _SIGNS.items() if sign in system), "mutate")


def read(request: Request) -> Asked:
    """What a request asks for, as its first two messages say it."""
    user = request["messages"][1]["content"]
    sources = tuple(source for source in _SOURCE.findall(user) if "class Network" in source)
    if not sources:
        sources = tuple(_SOURCE.findall(user))
    return Asked(role_of(request), form_of(request), sources)


def _first_words(request: Request) -> str:
    return prompt_of({"messages": request["messages"][:2]})


def _counted(prompt: str, text: str, finish: str = "stop") -> Reply:
    usage = (len(prompt) // CHARACTERS_A_TOKEN, max(len(text) // CHARACTERS_A_TOKEN, 1))
    return Reply(text, finish=finish, usage=usage)


def _drawn(shares: Mapping[str, float], generator: random.Random) -> str:
    (found,) = generator.choices(list(shares), list(shares.values()))
    return found


def _meaning(source: str) -> str:
    """A source without its comments and formatting."""
    with _PARSING:
        return ast.dump(ast.parse(source))


def _design(request: Request, asked: Asked, fault: str, generator: random.Random) -> str:
    """A correct reply, except for its fault."""
    if asked.form == "module":
        return write_module(request, fault, generator)
    if fault == "unchanged":
        return write_file(asked.form, asked.role, asked.source, f"# {_NO_CODE}\n{asked.source}")
    numbers = np.random.default_rng(generator.getrandbits(64))
    # A repair starts from the parent, which runs.
    after = _shrunk(asked.source, numbers) if asked.role == "downscale" else _mutated(asked.sources[-1], numbers)
    return write_file(asked.form, asked.role, asked.source, SPOILED[fault](after) if fault else after)


def _mutated(source: str, numbers: np.random.Generator) -> str:
    """The source after an applicable built-in transformation."""
    for index in numbers.permutation(len(TRANSFORMATIONS)):
        transformation = TRANSFORMATIONS[int(index)]
        try:
            editor = SourceEditor(source, numbers)
        except UnreadableSourceError:
            return source
        if transformation.apply(editor, min(transformation.targets)) and editor.source != source:
            return editor.source
    return source


def _shrunk(source: str, numbers: np.random.Generator) -> str:
    """The source with smaller numbers, at least half of the way down that one way of shrinking leads."""
    for way in ("width-proportional", "depth-middle"):
        editor = SourceEditor(source, numbers)
        sizing = Sizing(editor)
        sizes = [size for leg in shrinking_sizes(sizing, way, numbers) for size in leg]
        if sizes:
            sizing.apply(sizes[int(numbers.integers(len(sizes) // 2, len(sizes)))])
            return editor.source
    return source


def _without_such_a_layer(source: str) -> str:
    return source.replace("nn.AdaptiveAvgPool2d(", "nn.AdaptiveGatedPool2d(", 1)


def _of_the_wrong_shape(source: str) -> str:
    return re.sub(r"self\.head\(([^()]*)\)", r"self.head((\1)[:, 1:])", source)


def _eightfold(source: str) -> str:
    editor = SourceEditor(source, np.random.default_rng(0))
    sizing = Sizing(editor)
    sizing.apply(Size(sizing.size.repeats, tuple(8 * width for width in sizing.size.widths)))
    return editor.source


SPOILED: Mapping[str, Callable[[str], str]] = {
    "hallucinated": _without_such_a_layer,
    "shape": _of_the_wrong_shape,
    "oversized": _eightfold,
}
"""Faults in the code of a whole file."""
