"""Where a search starts: which bases are widened, and that a run keeps its base."""

from pathlib import Path

import pytest

from fairnad.domain.budget import Budget
from fairnad.ports import Proposal
from fairnad.records.candidate import BASE_ID, Step, plain
from fairnad.settings.search_settings import RunContext
from graphs.cli.search_command import parse
from graphs.runtime.base_scaling import Base, base_text, settle_base, wants_scaling
from graphs.runtime.steps import Steps
from prompts.loader import load_pack
from store.history_store import FILE_NAME, SqliteHistory
from tests.agents.builtin.networks import check

PACK = load_pack("vision")
SMALL = PACK.base_source("small_resnet")
LIMITS = [Budget("params", "parameters", 22_000), Budget("flops", "multiply-adds an image", 1_500_000)]


@pytest.fixture
def history(tmp_path):
    store = SqliteHistory(tmp_path / FILE_NAME)
    yield store
    store.close()


class Check:
    """Real costs; counts how often it is asked."""

    num_calls = 0

    async def __call__(self, source):
        self.num_calls += 1
        return await check(source)


def context(*flags: str) -> RunContext:
    return parse(flags)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], True),
        (["--task", "fashion-mnist"], True),
        (["--task", "folder"], True),
        (["--task", "cifar10"], False),
        (["--task", "cifar100"], False),
        (["--task", "imagenet16-120"], False),
        (["--base", "small_resnet"], False),
        (["--agents.mode", "paper"], False),
        (["--search.scale-base", "never"], False),
        (["--task", "cifar10", "--search.scale-base", "always"], True),
        (["--base", "resnet32", "--search.scale-base", "always"], True),
        (["--agents.mode", "paper", "--search.scale-base", "always"], True),
    ],
)
def test_who_is_widened(flags, expected):
    given = context(*flags)
    assert wants_scaling(given, PACK.tasks[given.task]) is expected


async def test_a_run_makes_its_base_once(history):
    counting = Check()
    first = await settle_base(SMALL, counting, LIMITS, Steps(history), scales=True)
    num_calls = counting.num_calls

    again = await settle_base("another pack's base", counting, LIMITS, Steps(history), scales=False)

    assert first.is_scaled and "8, 8, 16, 16" in first.note
    assert again == first
    assert counting.num_calls == num_calls


async def test_a_run_from_before_bases_were_widened_keeps_its_base(history):
    history.add_step(BASE_ID, Step.MUTATE, 0, {"result": plain(Proposal(SMALL, prompt=""))})

    base = await settle_base(SMALL, check, LIMITS, Steps(history), scales=True)

    assert (base.source, base.note) == (SMALL, "")


async def test_a_base_that_was_proposed_as_widened_stays_the_control(history):
    proposal = Proposal(SMALL, prompt="", note="widths 4 → 8")
    history.add_step(BASE_ID, Step.MUTATE, 0, {"result": plain(proposal)})

    base = await settle_base(SMALL, check, LIMITS, Steps(history), scales=True)

    assert base.is_scaled and base.note == "widths 4 → 8"


async def test_a_base_with_no_room_is_kept(history):
    wide = (
        SMALL.replace("4, 8", "8, 16")
        .replace("4, 4", "8, 8")
        .replace("8, 8, repeats=2, stride=2", "16, 16, repeats=2, stride=2")
    )
    wide = wide.replace("Stem(3, 4)", "Stem(3, 8)").replace("Linear(8", "Linear(16")

    base = await settle_base(wide, Check(), LIMITS, Steps(history), scales=True)

    assert base.source == wide and not base.is_scaled
    assert base_text(context(), base) == ""


def test_a_widened_base_is_announced_as_the_control():
    base = Base("source", "widths 4, 8 → 8, 16", {"params": 0.943, "flops": 0.903})
    assert base_text(context(), base) == (
        "Base: widened to the limits before the search, widths 4, 8 → 8, 16; it uses 94% of params, 90% of flops. "
        "It is the control."
    )


def test_a_base_of_the_users_that_is_far_below_its_limits_is_a_warning():
    base = Base("source", "", {"params": 0.04, "flops": 0.031})
    text = base_text(context("--base", "mine.py"), base)
    assert text.startswith("WARNING: the base mine.py uses only 4% of its tightest limit, params")
    assert "--search.scale-base always" in text
    assert base_text(context("--base", "mine.py"), Base("source", "", {"params": 0.85})) == ""
    assert base_text(context(), Base("source")) == ""


def test_the_paper_s_tasks_are_not_marked_and_the_others_are():
    marked = {name for name, task in PACK.tasks.items() if task.scale_base}
    assert marked == {"digits", "fashion-mnist", "folder"}
    assert Path("prompts/vision/tasks.toml").read_text().count("scale_base = true") == 3
