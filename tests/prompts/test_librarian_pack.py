from pathlib import Path

import pytest

from fairnad.errors import PackError
from prompts.librarian_pack import load_librarian_pack
from prompts.loader import load_pack


def test_the_words_of_the_vision_pack_are_those_of_its_tree() -> None:
    pack = load_pack("vision")
    words = load_librarian_pack(pack).words
    subs = {tag.sub for tag in pack.attribute_tree.tags()} - {""}
    assert "squeeze and excitation" in words.categories["channel attention"]
    assert len(subs & set(words.categories)) > 30
    assert "few flops" in words.cheap
    assert not set(words.saving) & set(words.costly)


def test_a_pack_may_do_without_a_librarian_until_a_model_is_asked(folder: Path) -> None:
    for file in sorted((folder / "librarian").iterdir()):
        file.unlink()
    (folder / "librarian").rmdir()
    pack = load_librarian_pack(load_pack(str(folder)))
    assert pack.words.categories == {}
    with pytest.raises(PackError, match="pack vision has no folder librarian with prompts for"):
        pack.messages("question_answering", question="", earlier="", evidence="")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("words.yaml", "categories: {activation: [nonlinearity], gelu: []}\n", ""),
        ("words.yaml", "", ""),
        (
            "words.yaml",
            "categories: {swish: [silu]}\n",
            "categories has swish, which the attribute tree lacks: fix it",
        ),
        ("words.yaml", "cheap: light\n", "cheap: Input should be a valid tuple: fix it"),
        ("words.yaml", "colours: []\n", "colours: Extra inputs are not permitted: fix it"),
        ("words.yaml", "cheap: [", "not valid YAML"),
        ("librarian.toml", "[prompts]\n", r"\[prompts\] lacks question_answering, question_understanding: list"),
        ("librarian.toml", "prompts = 3\n", "prompts: Input should be a valid dictionary: fix it"),
        ("librarian.toml", "=", "not valid TOML"),
        ("question_answering.md", "# System\n# User\n{{ question }}", "declares earlier, evidence, which the prompt"),
        ("question_answering.md", "{{ question }}", "expected the headings"),
    ],
)
def test_a_faulty_file_is_named(folder: Path, name: str, content: str, message: str) -> None:
    (folder / "librarian" / "words.yaml").write_text("")
    (folder / "librarian" / name).write_text(content)
    if not message:
        load_librarian_pack(load_pack(str(folder)))
        return
    with pytest.raises(PackError, match=message) as caught:
        load_librarian_pack(load_pack(str(folder)))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
