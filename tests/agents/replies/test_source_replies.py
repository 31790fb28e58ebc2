import ast
import textwrap

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agents.replies.source_replies import (
    extract_idea,
    extract_source,
    extract_verdict,
    join_replies,
    repeats_itself,
    strip_reasoning,
)
from fairnad.ideas.attribute_tree import AttributeTree, Category, Granularity, Tag, Target
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.ports import Verdict

SOURCE = textwrap.dedent('''\
    """A network."""

    import torch.nn as nn


    class Block(nn.Module):
        def forward(self, x):
            return x


    class Network(nn.Module):
        def __init__(self, num_classes=10):
            super().__init__()
            self.block = Block()

        def forward(self, x):
            return self.block(x)
    ''')
CODE = SOURCE.rstrip()
OTHER = "import torch.nn as nn\n\n\nclass Network(nn.Module):\n    pass"
ACTIVATION = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation")
DENSE = Tag(Target.EFFICIENCY, Granularity.BLOCK, "dense connectivity")
GELU = Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu")
TREE = AttributeTree(
    {
        ACTIVATION.category: ("gelu", "relu", "twice"),
        Category(Target.PERFORMANCE, Granularity.OPERATION, "other"): ("twice",),
        DENSE.category: (),
    }
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("plain", "plain"),
        ("  plain\n", "  plain\n"),
        ("<think>hm</think>answer", "answer"),
        ("<think>hm</think>\n\n    answer\n", "    answer\n"),
        ("<THINK>a</THINK> x <think>b</think> y", " x  y"),
        ("<reasoning>hm</reasoning>answer", "answer"),
        ("opened in the prompt</think>\nanswer", "answer"),
        ("<think>it says </think> in here, hm</think>answer", "answer"),
        ("<think>never ends", ""),
        ("answer <think>never ends", "answer "),
    ],
)
def test_reasoning_is_stripped(text: str, answer: str) -> None:
    assert strip_reasoning(text) == answer


REPLIES = {
    "one block": f"```python\n{CODE}\n```",
    "prose around": f"Plan: change it.\n\n```python\n{CODE}\n```\n\nThis works because of that.",
    "no language": f"```\n{CODE}\n```",
    "other names of the language": f"```Python3 title=net.py\n{CODE}\n```",
    "a space before the language": f"``` py\n{CODE}\n```",
    "tildes": f"~~~python\n{CODE}\n~~~",
    "a long fence": f"````python\n{CODE}\n````",
    "fence after prose on one line": f"Here it is: ```python\n{CODE}\n```",
    "fence on the last line of code": f"```python\n{CODE}```",
    "indented": textwrap.indent(f"```python\n{CODE}\n```", "   "),
    "windows line ends": f"```python\n{CODE}\n```".replace("\n", "\r\n"),
    "reasoning with a draft": f"<think>```python\n{OTHER}\n```</think>```python\n{CODE}\n```",
    "missing closing fence": f"Plan.\n\n```python\n{CODE}\n",
    "missing closing fence, then prose": f"```python\n{CODE}\n\nThis adds a block.\nIt is good.",
    "no fence at all": SOURCE.partition("\n\n")[2],
    "no fence, prose around": f"Sure, here it is.\n\n{SOURCE.partition(chr(10) * 2)[2]}\nThis adds a block.",
    "a usage example after": f"```python\n{CODE}\n```\nUse it:\n```python\nnet = Network(10)\n```",
    "the parent before": f"Parent:\n```python\n{OTHER}\n```\nNew:\n```python\n{CODE}\n```",
    "a fragment after": f"```python\n{CODE}\n```\nThe core:\n```python\nclass Network(nn.Module):\n    ...\n```",
    "a broken draft after": f"```python\n{CODE}\n```\nor\n```python\nimport torch\nclass Network(:\n```",
    "a block never closed before": f"```python\nclass Block:\n    pass\n\n```python\n{CODE}\n```",
    "shell before": f"```bash\npip install torch\n```\n```python\n{CODE}\n```",
}


@pytest.mark.parametrize("text", REPLIES.values(), ids=REPLIES.keys())
def test_the_source_is_found(text: str) -> None:
    source = extract_source(text)
    assert source is not None
    assert source.removeprefix('"""A network."""\n\n') == SOURCE.removeprefix('"""A network."""\n\n')


def test_backticks_in_a_longer_fence_are_code() -> None:
    source = f'"""\n```python\nuse it\n```\n"""\n{OTHER}\n'
    assert extract_source(f"````python\n{source}````") == source


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import torch\n\n\nclass Network(nn.Module):\n    def forward(self, x)\n        return x", "does not parse"),
        ("import torch\n\n\nclass ResNet(torch.nn.Module):\n    pass", "has no Network"),
    ],
)
def test_a_file_the_debugger_may_mend_is_returned(code: str, why: str) -> None:
    assert extract_source(f"Here:\n```python\n{code}\n```") == code + "\n", why


def test_code_after_a_syntax_error_is_kept_where_no_fence_ends_it() -> None:
    code = "import torch\n\n\nclass Network(:\n    def forward(self, x):\n        return x\n"
    assert extract_source(code) == code


@pytest.mark.parametrize("text", ["", "I cannot do that.", "```python\nprint('hello')\n```", "```\n```", "import me"])
def test_a_reply_without_a_class_holds_no_source(text: str) -> None:
    assert extract_source(text) is None


@pytest.mark.parametrize(
    ("first", "rest", "joined"),
    [
        ("abc", "def", "abcdef"),
        ("x = nn.Conv2d(in", "n_channels)", "x = nn.Conv2d(inn_channels)"),  # a short repetition may be meant
        (
            "    x = self.layers1(x)\n    x = self.la",
            "    x = self.layers2(x)\n",
            "    x = self.layers1(x)\n    x = self.layers2(x)\n",
        ),
        ("    x = a", "    x = a + b", "    x = a + b"),
        ("a\n    ", "    b", "a\n    b"),
        ("a\n        ", "    b", "a\n            b"),
        ("```python\nx = 1\n", "```python\ny = 2\n```", "```python\nx = 1\ny = 2\n```"),
        ("```python\nx = 1\n", "Going on:\n```python\ny = 2\n```", "```python\nx = 1\ny = 2\n```"),
        ("```python\nx = 1\n", "```\ny = 2\n```", "```python\nx = 1\ny = 2\n```"),
        ("```python\nx = 1\n", "```\nDone.", "```python\nx = 1\n```\nDone."),
        ("Plan.\n", "```python\nx = 1\n```", "Plan.\n```python\nx = 1\n```"),
        ("", "abc", "abc"),
        ("abc", "", "abc"),
    ],
)
def test_a_continuation_is_joined_without_what_it_repeats(first: str, rest: str, joined: str) -> None:
    assert join_replies(first, rest) == joined


@settings(deadline=None, derandomize=True)
@given(cut=st.integers(0, len(SOURCE)))
def test_an_exact_continuation_is_joined_exactly(cut: int) -> None:
    reply = f"Plan: a block.\n\n```python\n{SOURCE}```"
    assume(not reply[:cut].endswith(" ") or not reply[cut:].startswith(" "))  # one token: it is repeated, not split
    assert join_replies(reply[:cut], reply[cut:]) == reply


@settings(deadline=None, derandomize=True)
@given(cut=st.integers(30, len(SOURCE)), repeated=st.integers(40, 200))
def test_a_continuation_that_begins_a_little_earlier_is_joined_exactly(cut: int, repeated: int) -> None:
    reply = f"Plan: a block.\n\n```python\n{SOURCE}```"
    assert join_replies(reply[:cut], reply[max(0, cut - repeated) :]) == reply


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (
            "changed: yes - another kernel\nmulti-layer: yes - 3 in a row\n##response## yes",
            Verdict(True, True, "another kernel; 3 in a row"),
        ),
        ("changed: no - the same\nmulti-layer: yes - 3\n##response## no", Verdict(False, True, "the same")),
        ("changed: yes - new\nmulti-layer: no - one block\n##response##no", Verdict(True, False, "one block")),
        ("changed: no\nmulti-layer: no\n##response## no", Verdict(False, False)),
        ("**Changed:** Yes, new\n- **Multi-layer**: Yes.\n\n**##response## Yes**", Verdict(True, True, "new")),
        ("<think>changed: no</think>changed: yes\nmulti layer = yes", Verdict(True, True)),
        (
            "changed: yes or no?\nWell.\nchanged: no - same\nmulti-layer: yes\n##response## no",
            Verdict(False, True, "same"),
        ),
        ("All is well. ##response## yes", Verdict(True, True)),
        ("All is well. **response**yes", Verdict(True, True)),
        ("##response## no", Verdict(False, True)),
        ("changed: yes - new\n##response## no", Verdict(True, False)),
        ("multi-layer: yes\n##response## no", Verdict(False, True)),
        ("multi-layer: no - one\n##response## no", Verdict(True, False, "one")),
    ],
)
def test_the_verdict_is_found(text: str, verdict: Verdict) -> None:
    assert extract_verdict(text) == verdict


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "The architecture has changed: it is wider.",
        "changed: yes",
        "changed: no\nmulti-layer: yes\n##response## yes",
        "changed: yes\nmulti-layer: yes\n##response## no",
        "changed: no\n##response## yes",
    ],
)
def test_no_verdict_or_a_contradiction_is_none(text: str) -> None:
    assert extract_verdict(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Analysis: fine.\nIdea: Add a gate.\n",
        "**Idea:** Add a gate.",
        "3. `Idea:` Add a gate.",
        "### Idea: **Add a gate.**",
        "Idea:\n\nAdd a gate.",
        "Idea: a draft\nIdea: Add a gate.\n```python\n# Idea: not this\n```",
        "~~~python\n# Idea: not this\n~~~\nIdea: Add a gate.",
        "<think>Idea: not this</think>idea : Add a gate.",
    ],
)
def test_the_idea_is_found(text: str) -> None:
    assert extract_idea(text) == Idea("Add a gate.", IdeaKind.MUTATED)


def test_an_idea_is_cut_to_fewer_than_50_words() -> None:
    idea = extract_idea("Idea: " + " ".join(f"w{i}" for i in range(80)))
    assert idea is not None
    assert idea.text.split() == [f"w{i}" for i in range(49)]


@pytest.mark.parametrize("text", ["", "No idea.", "Idea:", "The idea: is hidden in a sentence", "```\nIdea: code\n```"])
def test_a_reply_that_names_no_idea_gives_none(text: str) -> None:
    assert extract_idea(text) is None


@pytest.mark.parametrize(
    ("category", "tag"),
    [
        (
            "performance / operation / activation / gelu",
            Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation", "gelu"),
        ),
        ("Performance > Operation level > Activation", Tag(Target.PERFORMANCE, Granularity.OPERATION, "activation")),
        (
            "`efficiency * block and connectivity * dense connectivity`",
            Tag(Target.EFFICIENCY, Granularity.BLOCK, "dense connectivity"),
        ),
        ("performance / operation / gelu", GELU),
        ("GELU", GELU),
        ("performance / operation / activation / swish", ACTIVATION),
        ("activation", ACTIVATION),
        ("model refinement", None),
    ],
)
def test_the_category_becomes_a_tag_where_the_tree_has_it(category: str, tag: Tag | None) -> None:
    idea = extract_idea(f"Category: {category}\nIdea: Add a gate.", TREE)
    assert idea is not None
    assert idea.tag == tag


FENCES = ["```", "```python\n", "~~~", "\n", "\r", "é", "\0", "\ud800"]
CODE_LINES = ["class Network(", "class A:\n", "    x\n", "import torch\n", "((((" * 200]
LABELS = ["<think>", "</think>", "Idea:", "Category: a/b", "changed: no", "multi-layer: yes", "##response## "]
FRAGMENTS = st.sampled_from([*FENCES, *CODE_LINES, *LABELS])
TEXTS = st.one_of(st.text(), st.lists(st.one_of(FRAGMENTS, st.text(max_size=8)), max_size=30).map("".join))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(text=TEXTS, rest=TEXTS)
def test_nothing_raises_on_any_text(text: str, rest: str) -> None:
    source = extract_source(text)
    assert source is None or source.endswith("\n")
    verdict = extract_verdict(text)
    assert verdict is None or isinstance(verdict, Verdict)
    idea = extract_idea(text, TREE)
    assert idea is None or 1 <= len(idea.text.split()) < 50
    assert "<think>" not in strip_reasoning(text)
    assert join_replies(text, rest).startswith(text)


def test_a_source_too_deep_to_parse_is_still_returned() -> None:
    deep = "import torch\n\n\nclass Network:\n    x = " + "-" * 100_000 + "1\n"
    with pytest.raises(MemoryError):
        ast.parse(deep)
    assert extract_source(f"```python\n{deep}```") == deep


def test_a_reply_that_goes_round_in_circles_is_known_by_its_end():
    line = "        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)\n" * 2
    assert repeats_itself("class Gate(nn.Module):\n" + line * 3)
    assert not repeats_itself("class Gate(nn.Module):\n" + line)
    assert not repeats_itself("so " * 20)
