"""best.py: whatever a network's source is called inside, the command line below it finds its own names."""

from __future__ import annotations

import ast

import pytest

from graphs.model_card import plain_text
from graphs.program import make_program, without_main_guard

SOURCE = '''"""A network."""
from __future__ import annotations

import torch.nn as nn


class Network(nn.Module):
    pass
'''


def program(source):
    text = make_program(source, candidate_id="g00-base-r1-s00-d0", run_name="first")
    compile(text, "best.py", "exec")
    return text


def functions(text):
    return [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def test_the_source_stands_as_it_was_found_above_the_command_line():
    text = program(SOURCE)
    assert text.startswith("# g00-base-r1-s00-d0 of the FairNAD run first: ")
    assert SOURCE.strip() in text
    assert text.endswith('if __name__ == "__main__":\n    sys.exit(main())\n')
    assert text.count("__name__") == 1


def test_names_the_source_uses_are_left_to_it():
    taken = "def main():\n    return FOLDER\n\n\nFOLDER = classify = 1\n\n\ndef to_rgb():\n    return main_()\n"
    text = program(SOURCE + taken)
    assert taken.strip() in text
    assert functions(text) == [
        *("main", "to_rgb"),
        *("read_labels", "load_network", "read_image", "to_rgb_", "classify_", "main__"),
    ]
    assert text.endswith("sys.exit(main__())\n")
    assert "image = to_rgb_(image.crop(" in text
    assert 'FOLDER_ / "labels.json"' in text


@pytest.mark.parametrize(
    "guard",
    [
        'if __name__ == "__main__":\n    main()\n',
        "if '__main__' == __name__:\n    main()\n    print(1)\n",
        'if __name__ == "__main__": main()',
    ],
)
def test_a_source_that_is_a_program_of_its_own_no_longer_is(guard):
    assert without_main_guard(f"a = 1\n{guard}") == "a = 1\n"
    assert without_main_guard("a = 1\nif a:\n    b = 2\n") == "a = 1\nif a:\n    b = 2\n"


def test_what_a_language_model_wrote_is_no_markdown():
    assert plain_text("# [a](javascript:b)\n<b>c</b> | `d`") == r"\# \[a\](javascript:b) \<b\>c\</b\> \| \`d\`"
