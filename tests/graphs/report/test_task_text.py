"""What is told of the images, and the limits of a run."""

from dataclasses import replace

import pytest

from fairnad.domain.budget import Budget
from fairnad.domain.task import LeftOut, TaskDefaults, TaskReport
from fairnad.settings.search_settings import RunContext
from graphs.report.task_text import task_text
from graphs.runtime.limits import derive_budgets, resolve_budgets

BUDGETS = [Budget("params", "parameters", 45_000), Budget("flops", "multiply-adds an image", 1.8e6)]
PLAIN = TaskReport("digits", "", 16, 1500, 600, 697, {"a": 700, "b": 800}, {}, {}, ())
DEFAULTS = TaskDefaults("tiny", "quick", 1e4, 4e6, 32, 0, 0, 0.5, 4)


def test_a_plain_task_is_told_in_two_sentences():
    assert task_text(PLAIN, BUDGETS) == (
        "Task digits: 2 classes, images of 16×16: 1,500 to train on, 600 to validate and 697 held out. "
        "Limits: 45k parameters and 1.8M multiply-adds an image."
    )


def test_where_the_files_lie_and_what_is_worth_knowing_is_told():
    report = replace(PLAIN, place="data/x", num_held_out=None, notices=("One thing.", "Another."))
    assert task_text(report, BUDGETS) == (
        "Task digits (data/x): 2 classes, images of 16×16: 1,500 to train on and 600 to validate. "
        "One thing. Another. Limits: 45k parameters and 1.8M multiply-adds an image."
    )


def test_files_left_out_are_counted_with_an_example_of_each_reason():
    report = replace(
        PLAIN,
        left_out={LeftOut.BROKEN: 1200, LeftOut.HUGE: 1},
        examples={LeftOut.BROKEN: ("a/1.png", "a/2.png"), LeftOut.HUGE: ("b/3.png",)},
    )
    assert "Files left out: 1,200 broken (a/1.png, …), 1 over 100 megapixels (b/3.png). " in task_text(report, BUDGETS)


def test_a_name_of_a_file_cannot_command_the_terminal_or_break_the_line():
    report = replace(
        PLAIN,
        left_out={LeftOut.BROKEN: 1},
        examples={LeftOut.BROKEN: ("a/\x1b[2J\n1\udce9.png",)},
        class_counts={"a": 9},
    )
    text = task_text(report, BUDGETS)
    assert r"1 broken (a/\x1b[2J\x0a1\xdce9.png). " in text
    assert text.encode()


def test_uneven_classes_are_named():
    report = replace(PLAIN, class_counts={"rose": 410, "tulip": 23, "daisy": 99})
    assert "Classes are uneven, 17.8 to 1 (rose 410, tulip 23). " in task_text(report, BUDGETS)
    assert "uneven" not in task_text(replace(report, class_counts={"rose": 60, "tulip": 23}), BUDGETS)


def limits(context, defaults=DEFAULTS, image_size=32):
    return {budget.name: budget.limit for budget in resolve_budgets(context, defaults, image_size)}


def test_settings_win_over_the_task_whose_limit_on_flops_grows_with_the_area():
    assert limits(RunContext()) == {"params": 1e4, "flops": 4e6}
    assert limits(RunContext(), image_size=16) == {"params": 1e4, "flops": 1e6}
    assert limits(RunContext(max_params=5, max_flops=7), image_size=16) == {"params": 5, "flops": 7}


def test_a_limit_nobody_states_is_four_times_the_bases_cost():
    without = replace(DEFAULTS, max_params=0, max_flops=0, image_size=0)
    assert limits(RunContext(), without) == {}
    assert limits(RunContext(max_flops=7), without) == {"flops": 7}
    derived = derive_budgets(resolve_budgets(RunContext(max_flops=7), without, 32), {"params": 100, "flops": 1000})
    assert [(budget.name, budget.limit) for budget in derived] == [("params", 400), ("flops", 7)]


def test_latency_and_memory_are_limited_only_where_the_settings_say_so():
    context = RunContext(max_latency_ms="2.5", max_activation_memory="64k", lab={"device": "cpu"})
    assert limits(context) == {"params": 1e4, "flops": 4e6, "latency_ms": 2.5, "activation_bytes": 64e3}
    units = {budget.name: budget.unit for budget in resolve_budgets(context, DEFAULTS, 32)}
    assert units["latency_ms"] == "median milliseconds an image on cpu"
    assert units["activation_bytes"] == "bytes of intermediate results of an image"
    without = replace(DEFAULTS, max_params=0, max_flops=0)
    stated = resolve_budgets(RunContext(max_activation_memory=10), without, 32)
    costs = {"params": 100, "flops": 1000, "activation_bytes": 7}
    derived = [(budget.name, budget.limit) for budget in derive_budgets(stated, costs)]
    assert derived == [("params", 400), ("flops", 4000), ("activation_bytes", 10)]


@pytest.mark.parametrize(("size", "padding"), [(32, 4), (16, 2), (64, 8), (28, 4)])
def test_crop_padding_grows_and_shrinks_with_the_images(size, padding):
    assert DEFAULTS.padding(size) == padding
    assert replace(DEFAULTS, image_size=0).padding(size) == padding
