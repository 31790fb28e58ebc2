from collections.abc import Iterator

import pytest

from fairnad.ideas.checked_modules import CONTRACT, CheckedModule
from store.module_store import ChromaModuleStore
from tools.embedder import HashedEmbedder


def module(name: str, does: str) -> CheckedModule:
    return CheckedModule(f"pack/{name}", name, does, f"class {name}: pass")


GATE = module("Gate", "gates channels by their mean")
VIEW = module("View", "sees far with a large depthwise kernel")
MIX = module("Mix", "mixes channels at each position")
IDS = {one.module_id for one in (GATE, VIEW, MIX)}


@pytest.fixture
def store() -> Iterator[ChromaModuleStore]:
    made = ChromaModuleStore(HashedEmbedder(256))
    yield made
    made.close()


def test_modules_are_found_by_what_they_do_among_those_that_are_meant(store: ChromaModuleStore) -> None:
    store.add([GATE, VIEW, MIX])
    assert store.nearest("a large kernel that sees far", IDS)[0] == VIEW
    assert len(store.nearest("a large kernel that sees far", IDS)) == 3
    assert store.nearest("a large kernel", IDS - {VIEW.module_id}) == store.nearest("a large kernel", IDS)[1:]
    assert store.nearest("a large kernel", ()) == []
    assert store.get("pack/Gate") == GATE and store.get("pack/Gone") is None


def test_the_order_they_came_in_does_not_matter(store: ChromaModuleStore) -> None:
    twins = [module(name, "does nothing") for name in "DACB"]
    store.add(twins[:2])
    store.add(twins)
    assert len(store) == 4
    ids = [one.module_id for one in twins]
    assert [one.name for one in store.nearest("does nothing", ids)] == ["A", "B", "C", "D"]


def test_chroma_holds_their_contracts(store: ChromaModuleStore) -> None:
    import chromadb
    from chromadb.config import Settings

    store.add([GATE])
    client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
    (mine,) = [one for one in client.list_collections() if one.count() == 1 and one.name.startswith("modules-")]
    assert mine.get()["metadatas"] == [{"name": "Gate", "contract": CONTRACT}]


def test_stores_of_a_process_do_not_mix_and_leave_nothing_behind(store: ChromaModuleStore) -> None:
    other = ChromaModuleStore(HashedEmbedder(256))
    store.add([GATE])
    other.add([VIEW])
    assert store.nearest("sees far", ["pack/Gate"]) == [GATE]
    other.close()
    other.close()
    assert other.nearest("sees far", ["pack/View"]) == []
    assert store.nearest("sees far", ["pack/Gate"]) == [GATE]
