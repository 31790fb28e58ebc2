"""Edits as language models really write them, one reply a case: each gives the edited source, or says what is wrong."""

from pathlib import Path

import pytest

import prompts.loader
from agents.replies.edit_replies import edit_by
from agents.replies.edits import EditError, NoEditError

SOURCE = (Path(prompts.loader.__file__).parent / "vision" / "models" / "small_resnet.py").read_text()
OLD = "        self.norm2 = nn.BatchNorm2d(out_channels)\n        self.act = nn.ReLU()"
NEW = OLD.replace("ReLU", "GELU")
EDITED = SOURCE.replace(OLD, NEW)
BLOCK_CLASS = SOURCE[SOURCE.index("class BaseBlock") : SOURCE.index("class Network")].strip()
ASKED = f"<<<<<<< OLD\n{OLD}\n=======\n{NEW}\n>>>>>>> NEW"

UNDERSTOOD = {
    "as asked": ASKED,
    "with a plan before and words after": f"Plan: smoother.\n\n{ASKED}\n\nThis makes it smoother.",
    "in a fence": f"```python\n{ASKED}\n```",
    "after a thought": f"<think>maybe\n<<<<<<< OLD\nnonsense\n</think>\n{ASKED}",
    "with Windows line ends": ASKED.replace("\n", "\r\n"),
    "fences inside": f"<<<<<<< OLD\n```python\n{OLD}\n```\n=======\n```python\n{NEW}\n```\n>>>>>>> NEW",
    "a fence round each part": f"```\n<<<<<<< OLD\n{OLD}\n```\n=======\n```\n{NEW}\n```\n>>>>>>> NEW",
    "other words at the marks": f"<<<<<<< SEARCH\n{OLD}\n=======\n{NEW}\n>>>>>>> REPLACE",
    "marks of a merge": f"<<<<<<< HEAD\n{OLD}\n=======\n{NEW}\n>>>>>>> branch",
    "marks of another length": f"<<< OLD\n{OLD}\n====\n{NEW}\n>>> NEW",
    "bare marks": f"<<<<<<<\n{OLD}\n=======\n{NEW}\n>>>>>>>",
    "no last mark": f"<<<<<<< OLD\n{OLD}\n=======\n{NEW}\n",
    "no last mark in a fence": f"```python\n<<<<<<< OLD\n{OLD}\n=======\n{NEW}\n```\nDone.",
    "the middle mark as the last": f"<<<<<<< OLD\n{OLD}\n=======\n{NEW}\n=======\nDone.",
    "words at the middle mark": f"<<<<<<< OLD\n{OLD}\n======= NEW\n{NEW}\n>>>>>>> END",
    "words for marks": f"SEARCH:\n{OLD}\nREPLACE:\n{NEW}\nEND\n",
    "headings for marks": f"### OLD\n```python\n{OLD}\n```\n### NEW\n```python\n{NEW}\n```\n",
    "bold words for marks": f"**OLD**\n```python\n{OLD}\n```\n\n**NEW**\n```python\n{NEW}\n```\n",
    "no indentation": ASKED.replace("        ", ""),
    "a diff": "```diff\n@@ -49,3 +49,3 @@\n         self.norm2 = nn.BatchNorm2d(out_channels)\n"
    "-        self.act = nn.ReLU()\n+        self.act = nn.GELU()\n```",
    "a diff with heads": "--- a/network.py\n+++ b/network.py\n@@ -49,3 +49,3 @@ class BaseBlock\n"
    "         self.norm2 = nn.BatchNorm2d(out_channels)\n-        self.act = nn.ReLU()\n"
    "+        self.act = nn.GELU()\n",
    "a diff without the blanks of what stays": "```diff\n        self.norm2 = nn.BatchNorm2d(out_channels)\n"
    "-        self.act = nn.ReLU()\n+        self.act = nn.GELU()\n```",
    "the whole file": f"```python\n{EDITED}```",
    "the class that changes": f"Here:\n```python\n{BLOCK_CLASS.replace('nn.ReLU', 'nn.GELU')}\n```",
    "the class and the network": f"```python\n{BLOCK_CLASS.replace('nn.ReLU', 'nn.GELU')}\n\n\n"
    f"{SOURCE[SOURCE.index('class Network') :]}```",
    "the class under nothing": f"<<<<<<< OLD\n=======\n{BLOCK_CLASS.replace('nn.ReLU', 'nn.GELU')}\n>>>>>>> NEW",
    "a useless edit beside": f"<<<<<<< OLD\n        return self.head(x)\n=======\n        return self.head(x)\n"
    f">>>>>>> NEW\n{ASKED}",
    "the file after edits that do not fit": "<<<<<<< OLD\nself.gone = 1\n=======\nx\n>>>>>>> NEW\n"
    f"```python\n{EDITED}```",
}


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_a_reply_gives_the_edited_source(case: str) -> None:
    assert edit_by(UNDERSTOOD[case], SOURCE).source.strip() == EDITED.strip()


REFUSED = {
    "no code": ("I would rather not.", "the reply contains neither edits nor a Python file"),
    "an empty fence": ("```python\n```", "the reply contains neither edits nor a Python file"),
    "no middle mark": (f"<<<<<<< OLD\n{OLD}\n>>>>>>> NEW", "edit 1 has no line of ======= between"),
    "no middle mark before the next": (f"<<<<<<< OLD\n{OLD}\n{ASKED}", "edit 1 has no line of ======= between"),
    "an invented line": ("<<<<<<< OLD\nself.gone = 1\n=======\nself.gone = 2\n>>>>>>> NEW", "edit 1, which begins"),
    "left-out lines": (
        "<<<<<<< OLD\nclass Stem(nn.Module):\n    # ... existing code ...\n=======\nx\n>>>>>>> NEW",
        "edit 1, which begins with 'class Stem",
    ),
    "only edits of nothing": (f"<<<<<<< OLD\n{OLD}\n=======\n{OLD}\n>>>>>>> NEW", "the edits change nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_reply_that_cannot_be_carried_out_says_why(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(NoEditError, match="^" + message.replace("(", r"\(")) as caught:
        edit_by(text, SOURCE)
    assert isinstance(caught.value, EditError) == message.startswith("edit ")
