from __future__ import annotations

from pathlib import Path

import pytest

from fairnad.settings.search_settings import RunContext
from graphs.runtime.idea_base import ideas_folder
from store.knowledge_folder import INDEX_NAME
from tools.embedder import HashedEmbedder


def test_the_index_a_knowledge_folder_was_built_with_is_used_and_others_lie_beside_the_runs(tmp_path: Path) -> None:
    knowledge, runs = tmp_path / "mine", tmp_path / "runs"
    knowledge.mkdir()
    context = RunContext(ideas=str(knowledge), runs=str(runs))
    assert ideas_folder(context, (), HashedEmbedder().name) == knowledge / INDEX_NAME
    elsewhere = ideas_folder(context, (), "another model")
    assert elsewhere.is_relative_to(runs / ".ideas")
    assert elsewhere != ideas_folder(context, (), "a third model")


@pytest.mark.parametrize("ideas", ["", "mine.jsonl"])
def test_ideas_of_a_file_are_indexed_beside_the_runs(ideas: str, tmp_path: Path) -> None:
    context = RunContext(ideas=ideas and str(tmp_path / ideas), runs=str(tmp_path))
    assert ideas_folder(context, (), HashedEmbedder().name).is_relative_to(tmp_path / ".ideas")
