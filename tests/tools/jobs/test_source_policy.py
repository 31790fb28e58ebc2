"""Which sources the policy refuses, in which words, and that it leaves honest ones alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairnad.records.candidate import FailureKind
from tests.tools.sandbox.hostile.legitimate import LEGITIMATE
from tools.jobs import source_policy
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
        ("import torch as t\nx = t.jit", "rule 'attributes': jit: leave torch.jit out: the source is run as it is"),
        ("import torch\nt = torch\nx = t.hub", "rule 'attributes': hub: "),
        ("import torch\nx = torch._C", "rule 'attributes': _C: it is private to its module; use what is public"),
        ("x = ().__class__.__bases__", "rule 'attributes': __bases__: a network does not look at the interpreter"),
        ("def f(x):\n    return x.numpy()", "rule 'attributes': numpy: use operations of torch on the tensor itself"),
        (
            "import torch\nF = torch.nn.functional\nF.relu = None",
            "rule 'stores': a new value for the attribute relu",
        ),
        ("def f(x):\n    type(x).forward = 1", "rule 'stores': a new value for the attribute forward of"),
        ("def f(x):\n    x.__class__ = int", "rule 'stores': a new value for __class__: remove it"),
        ("class A: pass\nA.forward = 3", "rule 'stores': a new forward: write it as a method of a class"),
        ("def f(x):\n    setattr(type(x), 'a', 1)", "rule 'stores': setattr on something not made here"),
        ("import torch\ndef f(n):\n    return getattr(torch, n)", "rule 'calls': getattr with a computed name"),
        ("def f(x):\n    return getattr(x, '__globals__')", "rule 'attributes': __globals__: "),
        (
            "import torch.nn as nn\ndef f(n):\n    return getattr(nn, n)\ndef g():\n    return f('o' + 's')",
            "rule 'calls': getattr with a computed name",
        ),
        (
            "import torch\ndef f(n='relu'):\n    return getattr(torch, n)\ndef g():\n    return f('hub')",
            "rule 'attributes': hub: ",
        ),
        (
            "import torch\ndef f(**k):\n    return h(**k)\ndef h(n='relu'):\n    return getattr(torch, n)",
            "rule 'calls': getattr with a computed name",
        ),
        ("import logging\nx = logging.FileHandler", "rule 'attributes': FileHandler: leave it out"),
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
        ("x = '{0.__globals__}'", "rule 'names': the text '__globals__': remove it"),
        ("class A(B):\n    def eval(self): pass", "rule 'methods': eval is defined anew: leave it as nn.Module has it"),
        ("class A(B):\n    parameters = 1", "rule 'methods': parameters is defined anew: "),
        ("class A:\n    def __del__(self): pass", "rule 'methods': __del__ is defined: write forward, or a method"),
        ("class A(metaclass=B): pass", "rule 'classes': class A has a metaclass: remove it (line 1)"),
        ("while True:\n    pass", "rule 'module level': a loop outside of classes and functions: keep imports, "),
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
        "import torch.nn as nn\ndef f(act):\n    return getattr(nn, act)()\ndef g():\n    return f('ReLU')",
        "import torch.nn.functional as F\nclass A(B):\n    acts = ('relu', 'gelu')\n    def forward(self, x, i=0):\n"
        "        return getattr(F, self.acts[i])(x)",
        "import torch\nclass A(B):\n    def __init__(self, c, kind='tanh'):\n        self.kind = kind\n"
        "    @classmethod\n    def build(cls):\n        return cls(3, 'sigmoid')\n"
        "    def forward(self, x):\n        return getattr(torch, self.kind)(x)",
        "import torch.nn as nn\nACTS = {'a': 'ReLU', 'b': 'SiLU'}\ndef f(k):\n    return getattr(nn, ACTS[k])()",
        "import torch.nn as nn\ndef f():\n    return [getattr(nn, name)() for name in ('ReLU', 'ELU')]",
        "import torch.nn as nn\nACTS = ['ReLU', 'SiLU']\nclass A(B):\n    def __init__(self, n=3):\n"
        "        self.acts = nn.ModuleList()\n        for i in range(n):\n"
        "            self.acts.append(getattr(nn, ACTS[i % len(ACTS)])())",
        "import torch.nn as nn\nclass C:\n    act: str = 'GELU'\n    width: int = 3\ndef f(c=None):\n"
        "    c = c or C(width=4)\n    return getattr(nn, c.act)()",
        "import torch\nclass A(B):\n    def __init__(self, act='relu'):\n        self.act = act\n"
        "        for i in range(3):\n            setattr(self, f'layer{i}', i)\n    def forward(self, x):\n"
        "        return getattr(torch, self.act)(getattr(self, f'layer{x}'))",
        "import logging\nlog = logging.getLogger(__name__)\ndef f(x):\n    log.debug('%s', x)",
        "class A(B):\n    def __call__(self, *args, **kwargs):\n        return super().__call__(*args, **kwargs)",
    ],
)
def test_constant_names_logging_and_a_call_that_changes_nothing_pass(source: str) -> None:
    source_policy.enforce(source)


HIDDEN_NAMES = {
    "put together in place": "def g():\n    n = 'lo'\n    n += 'ad'\n    return getattr(torch, n)",
    "a part of a text": "def g():\n    return getattr(torch, '_load'[1:])",
    "a letter of a text": "NAME = 'load'\ndef g(i):\n    return getattr(torch, NAME[i])",
    "a lambda": "def g():\n    n = 'nn'\n    f = lambda n: getattr(torch, n)\n    return f('lo' + 'ad')",
    "an inner function": (
        "def g():\n    n = 'nn'\n    def f(n):\n        return getattr(torch, n)\n    return f('lo' + 'ad')"
    ),
    "a second name": "def f(n='nn'):\n    return getattr(torch, n)\ndef g():\n    h = f\n    return h('lo' + 'ad')",
    "a list that grows": "def g():\n    l = ['nn']\n    l.append('lo' + 'ad')\n    return getattr(torch, l[1])",
    "a list under a second name": (
        "L = ['nn']\ndef g():\n    m = L\n    m.append('lo' + 'ad')\n    return getattr(torch, L[1])"
    ),
    "forward's parameter": (
        "class A(B):\n    def forward(self, x, n='nn'):\n        return getattr(torch, n)\n"
        "def g(a):\n    return a(1, 'lo' + 'ad')"
    ),
    "unpacked arguments": "def f(m, n='nn'):\n    return getattr(torch, n)\ndef g():\n    f(*[1, 'lo' + 'ad'])",
    "a derived class": (
        "class A(B):\n    def __init__(self, n='nn'):\n        getattr(torch, n)\n"
        "class C(A):\n    pass\ndef g():\n    C('lo' + 'ad')"
    ),
    "its own class": (
        "class A(B):\n    def __init__(self, n='nn'):\n        getattr(torch, n)\n"
        "    def f(self):\n        return type(self)('lo' + 'ad')"
    ),
    "setattr": (
        "class A(B):\n    def __init__(self):\n        self.n = 'nn'\n        setattr(self, 'n', 'lo' + 'ad')\n"
        "        getattr(torch, self.n)"
    ),
    "a field": "class A(B):\n    n: str = 'nn'\ndef g():\n    a = A('lo' + 'ad')\n    return getattr(torch, a.n)",
    "a property": (
        "class A(B):\n    @property\n    def n(self):\n        return 'lo' + 'ad'\n    def f(self):\n"
        "        self.n = 'nn'\n        return getattr(torch, self.n)"
    ),
    "a method by name": (
        "class A(B):\n    def f(self, n='nn'):\n        return getattr(torch, n)\n"
        "    def g(self):\n        return getattr(self, 'f')('lo' + 'ad')"
    ),
    "another object's attribute": (
        "import logging\nclass A(B):\n    def f(self):\n        self.name = 'nn'\n"
        "        log = logging.getLogger('load')\n        return getattr(torch, log.name)"
    ),
    "a pattern": "def g(x):\n    n = 'nn'\n    match x:\n        case n:\n            return getattr(torch, n)",
}


@pytest.mark.parametrize("source", HIDDEN_NAMES.values(), ids=HIDDEN_NAMES)
def test_a_name_that_may_be_another_than_the_source_shows_is_refused(source: str) -> None:
    assert "getattr with a computed name on a module" in str(refusal_of(f"import torch\n{source}"))


def test_a_key_that_is_iterated_over_is_a_name_too() -> None:
    source = "import torch\ndef g():\n    for n in {'load': 'nn'}:\n        return getattr(torch, n)"
    assert str(refusal_of(source)).startswith("rule 'attributes': load: ")


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
