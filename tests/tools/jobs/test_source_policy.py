"""Which sources the policy refuses, in which words, and that it leaves honest ones alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from fairnad.records.candidate import FailureKind
from tests.tools.sandbox.hostile.legitimate import LEGITIMATE
from tools.jobs import network_source, source_policy
from tools.jobs.decorators import without_compiling_decorators
from tools.jobs.network_source import SourceError, complaint

MODELS = sorted(Path("prompts/vision/models").glob("*.py"))


def refusal_of(source: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source_policy.enforce(source)
    assert caught.value.kind is FailureKind.POLICY
    return caught.value


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_the_packs_models_pass(path: Path) -> None:
    source_policy.enforce(path.read_text())


@pytest.mark.parametrize("name", LEGITIMATE)
def test_unusual_but_honest_sources_pass(name: str) -> None:
    source_policy.enforce(LEGITIMATE[name])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nimport numpy as np", "rule 'imports': import of numpy: torch and Python's standard library do it: "),
        ("import os", "rule 'imports': import of os: a network has no access to files"),
        ("from torch.utils.cpp_extension import load", "rule 'imports': import of torch.utils.cpp_extension: "),
        ("from . import other", "rule 'imports': import of .: "),
        ("from torch import *", "rule 'imports': from torch import *: name what you use (line 1)"),
        ("from torch import hub", "rule 'attributes': hub: "),
        ("import torch\ntorch", "rule 'module level': an expression outside of classes and functions"),
        ("import torch\nx = torch.os", "rule 'attributes': os: a network has no access to files"),
        ("import torch as t\nx = t.jit", "rule 'attributes': jit: remove it: the source runs without torch.jit"),
        ("import torch\nt = torch\nx = t.hub", "rule 'attributes': hub: "),
        ("import torch\nx = torch._C", "rule 'attributes': _C: it is private to its module; use what is public"),
        ("x = ().__class__.__bases__", "rule 'attributes': __bases__: a network does not need the interpreter's"),
        ("def f(x):\n    return x.numpy()", "rule 'attributes': numpy: use operations of torch on the tensor itself"),
        (
            "import torch\nF = torch.nn.functional\nF.relu = None",
            "rule 'stores': assignment to the attribute relu",
        ),
        ("def f(x):\n    type(x).forward = 1", "rule 'stores': assignment to the attribute forward of"),
        ("def f(x):\n    x.__class__ = int", "rule 'stores': assignment to __class__: remove it"),
        ("class A: pass\nA.forward = 3", "rule 'stores': a new forward: write it as a method of a class"),
        ("def f(x):\n    setattr(type(x), 'a', 1)", "rule 'stores': setattr on an object made elsewhere"),
        ("def f(x):\n    return getattr(x, '__globals__')", "rule 'attributes': __globals__: "),
        ("import logging\nx = logging.FileHandler", "rule 'attributes': FileHandler: remove it"),
        ("import logging\nx = logging.io", "rule 'attributes': io: a network has no access to files"),
        ("import logging\nx = logging.handlers", "rule 'attributes': handlers: a network has no access to files"),
        ("import dataclasses\nx = dataclasses.builtins", "rule 'attributes': builtins: a network has no access"),
        ("import logging\nx = logging.os", "rule 'attributes': os: a network has no access to files"),
        (
            "class A(B):\n    def __call__(self, x):\n        return super().__call__(x + 1)",
            "rule 'methods': __call__ is defined: write forward",
        ),
        ("def f():\n    return eval('1')", "rule 'calls': eval: a network has no access"),
        ("def f():\n    return type('A', (), {})", "rule 'calls': a class made by type(...): write a class statement"),
        ("x = __builtins__", "rule 'names': __builtins__: remove it"),
        ("x = '{0.__globals__}'", "rule 'names': the string '__globals__': remove it"),
        ("class A(B):\n    def eval(self): pass", "rule 'methods': eval is redefined: keep the method of nn.Module"),
        ("class A(B):\n    parameters = 1", "rule 'methods': parameters is redefined: "),
        ("class A:\n    def __del__(self): pass", "rule 'methods': __del__ is defined: write forward, or a method"),
        ("class A(metaclass=B): pass", "rule 'classes': class A has a metaclass: remove it (line 1)"),
        ("while True:\n    pass", "rule 'module level': a loop outside of classes and functions: keep only "),
        ("print(1)", "rule 'module level': a call outside of classes and functions"),
        ("def f():\n    global x", "rule 'state': global x: keep it in an attribute of the module"),
        ("def f():\n    try: pass\n    except: pass", "rule 'exceptions': an except that catches everything: name"),
        ("def f():\n    try: pass\n    except BaseException: pass", "rule 'exceptions': an except that catches "),
        ("#" * 70000, "rule 'size': the source has 70000 bytes, 65536 are allowed: shorten it (line 1)"),
        ("x = 1\ny = '\0'", "rule 'text': a NUL character: remove it (line 2)"),
        (
            "#\n# coding: utf-7",
            "rule 'encoding': the source declares an encoding: remove the line",
        ),
        (
            "π = 3",
            "rule 'text': the name '\\u03c0' is not ASCII: outside of strings and comments write a to z",
        ),
        ("x = 1 # \u202e", "rule 'text': a character that reverses the writing direction: remove it (line 1)"),
    ],
)
def test_a_refusal_names_rule_and_line_and_what_to_do(source: str, message: str) -> None:
    found = str(refusal_of(source))
    assert found.startswith(message)
    assert "(line " in found


def test_the_debugger_is_told_every_break_of_a_rule_with_its_line() -> None:
    found = complaint(refusal_of("import os\nimport sys\n\nx = eval('1')\n"))
    assert found.message.endswith("(line 1); 2 more")
    reason = "a network has no access to files, processes, the network or the interpreter; remove it"
    assert found.log_tail.split("\n")[:6] == [
        f"  line 1: import of os: {reason}",
        "    import os",
        f"  line 2: import of sys: {reason}",
        "    import sys",
        f"  line 4: eval: {reason}",
        "    x = eval('1')",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn as nn\ndef f(act='GELU'):\n    return getattr(nn, act)()",
        "import logging\nlog = logging.getLogger(__name__)\ndef f(x):\n    log.debug('%s', x)",
        "class A(B):\n    def __call__(self, *args, **kwargs):\n        return super().__call__(*args, **kwargs)",
    ],
)
def test_getattr_logging_and_a_call_that_changes_nothing_pass(source: str) -> None:
    source_policy.enforce(source)


def read_attribute(owner: str, name: str) -> object:
    """What a source gets from ``getattr`` while it is run under the policy."""
    source = f"""
import torch
import torch.nn as nn

NAMES = ["lo", "ad"]

class Name(str):
    def __eq__(self, other):
        return other == "relu"
    def __hash__(self):
        return hash("relu")

class Network(nn.Module):
    def __init__(self, num_classes, part="ad", **names):
        super().__init__()
        self.kind = "Re" + "LU"
        self.found = getattr({owner}, {name})

    def forward(self, x):
        return x
"""
    source_policy.enforce(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(network_source.CANDIDATE_GLOBALS, "getattr", None)
        source_policy.guard_getattr()
        return network_source.network_class(source)(num_classes=2, load=1).found


@pytest.mark.parametrize("name", ["'lo' + part", "'_load'[1:]", "''.join(NAMES)", "f'lo{part}'", "[*names][0]"])
@pytest.mark.parametrize("owner", ["torch", "torch.nn.functional.torch"])
def test_a_refused_name_is_refused_however_it_is_computed(owner: str, name: str) -> None:
    with pytest.raises(SourceError, match="rule 'attributes': load: a network has no access to files") as caught:
        read_attribute(owner, name)
    assert caught.value.kind is FailureKind.POLICY
    assert "(line 17)" in complaint(caught.value).message


@pytest.mark.parametrize(
    ("owner", "name", "message"),
    [
        ("self.forward", "'__glo' + 'bals__'", "rule 'attributes': __globals__: a network does not need the interp"),
        ("nn.Module", "'_call' + '_impl'", "rule 'attributes': _call_impl: it is private to its module"),
        ("torch", "Name('load')", "rule 'calls': getattr with a subclass of str: use a plain str"),
    ],
)
def test_computed_names_are_held_to_every_rule_for_attributes(owner: str, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read_attribute(owner, name)


def test_other_computed_names_pass() -> None:
    assert read_attribute("nn", "self.kind") is nn.ReLU
    assert read_attribute("self", "'ki' + 'nd'") == "ReLU"
    assert read_attribute("nn", "'missing', 3") == 3


def test_decorators_that_compile_are_left_out_and_every_line_stays_where_it_is() -> None:
    source = (
        "import torch\n@torch.jit.script\ndef f(x):\n    return x\n\nclass A(B):\n    @torch.jit.ignore(\n"
        "        drop=True\n    )\n    @staticmethod\n    def g(x):\n        return x\n\n"
        "    @torch.compile(dynamic=True)\n    def h(x):\n        return x\n"
    )
    plain = without_compiling_decorators(source)
    assert plain.count("\n") == source.count("\n")
    assert "jit" not in plain and "compile" not in plain and "    @staticmethod\n    def g(x)" in plain
    source_policy.enforce(plain)
    refusal_of("import torch\ndef f(x):\n    return torch.jit.script(x)")


def test_text_in_strings_comments_and_docstrings_is_free() -> None:
    source_policy.enforce('"""See __init_subclass__ and π."""\nx = "π"  # ≥ 1\n')


def test_a_main_guard_never_runs_and_is_not_read() -> None:
    source_policy.enforce("if __name__ == '__main__':\n    import os\n    os.system('true')\n")
    refusal_of("if __name__ == '__main__':\n    pass\nelse:\n    import os\n")


def test_what_does_not_parse_is_left_to_the_compiler() -> None:
    source_policy.enforce("def f(:\n")


def test_a_source_nested_too_deeply_is_refused() -> None:
    with pytest.raises(SourceError, match="the source is nested too deeply") as caught:
        source_policy.enforce("x = " + "-" * 60000 + "1")
    assert caught.value.kind is FailureKind.SYNTAX
