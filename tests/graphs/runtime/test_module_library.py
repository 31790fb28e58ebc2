"""The library of checked modules with a real lab, a real history and Chroma."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from fairnad.domain.contract import Contract
from fairnad.errors import PackError
from fairnad.ideas.attribute_tree import Granularity, Tag, Target
from fairnad.ideas.checked_modules import CheckedModule
from fairnad.ideas.idea import Idea, IdeaKind
from fairnad.records.candidate import Evaluation, Failure, FailureKind, Step
from fairnad.records.history import History, Record
from fairnad.settings.search_settings import LabSettings
from graphs.runtime.module_library import ADMIT, RunLibrary
from graphs.runtime.steps import Steps
from prompts.loader import Pack, load_pack
from prompts.module_library import ModuleLibrary
from store.history_store import SqliteHistory
from store.module_store import ChromaModuleStore
from tools.checks import Checker, lone_checker
from tools.embedder import HashedEmbedder

PARENT = "import torch\nimport torch.nn as nn\n\n\nclass Network(nn.Module):\n    pass\n"
NEW = """\
class {name}(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, {width}, 1)

    def forward(self, x):
        return torch.tanh(self.conv(x))


"""
CHANGED = PARENT.replace("class Network", NEW.format(name="Squash", width="channels") + "class Network")
BROKEN = PARENT.replace("class Network", NEW.format(name="Widen", width="2 * channels") + "class Network")
ATTENTION = Idea(
    "Weigh channels by attention, squeeze and excitation.",
    tag=Tag(Target.PERFORMANCE, Granularity.OPERATION, "attention mechanism"),
)
IDEA = Idea("Squash what the channels say, smoothly.", kind=IdeaKind.MUTATED)


def record(name: str, source: str, **fields: object) -> Record:
    made = Record(name, "", IDEA, source, Evaluation(0.5, "recipe", {"params": 1.0, "flops": 1.0}, name))
    return replace(made, **fields)  # type: ignore[arg-type]


FIRST = record("g01-fair-r1-s00-d0", CHANGED)
SECOND = record("g01-fair-r1-s01-d0", BROKEN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Checker]:
    settings = LabSettings(slots=2, device="cpu", memory=1e9, isolation="E")
    async with lone_checker(settings, Contract.for_images(8, 10)) as checker:
        yield checker


class Shelf:
    """A library over one history, opened anew as often as wanted."""

    def __init__(self, path: Path, lab: Checker, pack: Pack) -> None:
        self.history = SqliteHistory(path / "history.sqlite")
        self.lab, self.pack = lab, pack

    async def library(self, size: int = 3) -> RunLibrary:
        store = ChromaModuleStore(HashedEmbedder(256))
        library = RunLibrary(self.pack, store, self.history, Steps(self.history), self.lab.check, size)
        await library.open()
        return library


@pytest.fixture
def shelf(tmp_path: Path, lab: Checker) -> Shelf:
    return Shelf(tmp_path, lab, load_pack("vision"))


with_lab = pytest.mark.asyncio(loop_scope="module")


@with_lab
async def test_every_module_of_the_vision_pack_keeps_its_contract_and_is_found_by_what_it_does(shelf: Shelf) -> None:
    library = await shelf.library()
    ids = library.offer(ATTENTION, History([]))
    assert ids[0] == "pack/ChannelGate"
    assert len(ids) == 3
    assert [module.module_id for module in library.modules(ids)] == list(ids)
    again = await shelf.library()
    assert again.offer(ATTENTION, History([])) == ids
    assert again.offer(Idea("Repeat more blocks.", kind=IdeaKind.UPSCALE), History([])) == ()
    library.close()
    again.close()


@with_lab
async def test_what_a_candidate_brings_is_offered_to_those_drawn_after_it(shelf: Shelf) -> None:
    library = await shelf.library()
    failed = record("g01-fair-r1-s02-d0", CHANGED, evaluation=None, failure=Failure(Step.TRAIN, FailureKind.SHAPE, ""))
    for one in (FIRST, SECOND, failed):
        await library.admit(one, PARENT)
        shelf.history.add_record(one)
    assert library.offer(IDEA, History([FIRST]))[0] == "g01-fair-r1-s00-d0/Squash"
    everything = (await shelf.library(20)).offer(IDEA, History(shelf.history.records()))
    assert not any("Widen" in name or name.startswith("g01-fair-r1-s02") for name in everything)
    assert all(name.startswith("pack/") for name in library.offer(IDEA, History([SECOND])))
    (part,) = library.modules(["g01-fair-r1-s00-d0/Squash"])
    assert isinstance(part, CheckedModule)
    assert part.does == IDEA.text and "class Squash" in part.source and "Network" not in part.source


@with_lab
async def test_a_library_that_is_opened_again_knows_what_was_offered(shelf: Shelf) -> None:
    library = await shelf.library()
    await library.admit(FIRST, PARENT)
    shelf.history.add_record(FIRST)
    ids = library.offer(IDEA, History([FIRST]))
    assert [part.module_id for part in (await shelf.library()).modules(ids)] == list(ids)
    assert [name for name, _ in shelf.history.find_steps(ADMIT, 0)] == [FIRST.candidate_id]


@with_lab
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return x[:, :, 1:]", "class Odd does not run, or changes the shape of its input: "),
        ("return x + self.gone", "class Odd does not run, or changes the shape of its input: "),
    ],
)
async def test_a_module_of_a_pack_that_breaks_the_contract_is_one_line(shelf: Shelf, body: str, message: str) -> None:
    source = (
        "import torch.nn as nn\n\n\nclass Odd(nn.Module):\n    def __init__(self, channels):\n"
        f"        super().__init__()\n\n    def forward(self, x):\n        {body}\n"
    )
    shelf.pack = replace(shelf.pack, library=ModuleLibrary((CheckedModule("pack/Odd", "Odd", "is odd", source),)))
    with pytest.raises(PackError, match=message) as caught:
        await shelf.library()
    assert str(caught.value).endswith("fix it") and "\n" not in str(caught.value)


@with_lab
async def test_a_module_that_asks_for_more_than_its_channels_is_one_line(shelf: Shelf) -> None:
    source = "import torch.nn as nn\n\n\nclass Odd(nn.Module):\n    def forward(self, x, y):\n        return x\n"
    shelf.pack = replace(shelf.pack, library=ModuleLibrary((CheckedModule("pack/Odd", "Odd", "is odd", source),)))
    with pytest.raises(PackError, match=r"expected a class Odd with a forward, built as Odd\(channels\); fix it"):
        await shelf.library()
