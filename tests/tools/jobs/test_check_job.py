"""What the check job says of sources that run, and of those that do not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from fairnad.domain.contract import Contract
from fairnad.errors import StoppingError
from fairnad.records.candidate import CheckReport, Failure, FailureKind, Step
from fairnad.settings.search_settings import LabSettings
from tools.checks import Checker

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = """
import torch
import torch.nn as nn
import torch.nn.functional as F

class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.norm(self.conv(x))
        return self.head(x.mean((2, 3)))
"""
RETURN = "return self.head(x.mean((2, 3)))"


def edited(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


async def test_a_report_holds_costs_buffers_and_blocks(checker):
    report = await checker.check(GOOD)
    assert isinstance(report, CheckReport)
    assert report.costs == {"params": 224 + 16 + 36, "flops": 36 * 8 * 27 + 2 * 36 * 8 + 32}
    assert report.num_buffer_elements == 8 + 8 + 1
    assert report.num_repeats == 1
    assert report.blocks == (
        ("Conv2d", "conv", (2, 8, 6, 6)),
        ("BatchNorm2d", "norm", (2, 8, 6, 6)),
        ("Linear", "head", (2, 4)),
    )
    assert 0 < report.seconds < 20


async def test_the_weights_are_measured_to_the_byte(checker):
    checked = await checker.examine(GOOD)
    assert checked.num_weight_bytes == 4 * (224 + 16 + 36 + 16) + 8
    assert checked.layout[0] == ("conv.weight", "float32", (8, 3, 3, 3))
    assert [tensor.name for tensor in checked.layout][-2:] == ["head.weight", "head.bias"]
    assert ("norm.num_batches_tracked", "int64", ()) in checked.layout


async def test_weights_no_file_can_hold_are_refused(checker):
    failure = await checker.check(
        edited("self.norm =", "self.scale = nn.Buffer(torch.zeros(1, dtype=torch.complex128))\n        self.norm =")
    )
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.INTERFACE
    assert failure.message.startswith("scale is of type complex128; weights may be of type float64, ")


async def test_a_deep_network_has_room_for_the_names_of_its_weights(checker):
    deep = edited("nn.BatchNorm2d(8)", "nn.Sequential(*[nn.BatchNorm2d(8) for _ in range(400)])")
    assert len((await checker.examine(deep)).layout) == 4 + 5 * 400


@pytest.mark.parametrize("name", ["conv.weight", "__metadata__"])
async def test_a_claim_of_weights_no_file_can_hold_is_malformed(checker, name):
    forge = f"""
import json, os
weights = [["conv.weight", "float32", [1]], [{name!r}, "float32", [1]]]
report = {{"costs": {{"params": 1, "flops": 1}}, "fingerprint": "0" * 16, "num_repeats": 1, "num_buffer_elements": 0,
          "blocks": [], "weights": weights}}
open("report.json", "w").write(json.dumps({{"result": report}}))
os._exit(0)
"""
    failure = await checker.check(forge)
    assert isinstance(failure, Failure)
    assert failure.message == "left a malformed report"


async def test_a_lazy_layer_gets_its_shape(checker):
    report = await checker.check(edited("nn.Conv2d(3, 8, 3)", "nn.LazyConv2d(8, 3)"))
    assert report == await checker.check(GOOD)


@pytest.mark.parametrize(
    ("source", "kind", "message"),
    [
        ("class Network(:", FailureKind.SYNTAX, "SyntaxError: invalid syntax (line 1)"),
        ("  x = 1", FailureKind.SYNTAX, "IndentationError: unexpected indent (line 1)"),
        ("x = '\ud800'", FailureKind.SYNTAX, "the source is not UTF-8 at byte 5"),
        ("x = " + "(" * 5000 + ")" * 5000, FailureKind.SYNTAX, ""),
        ("x = " + "-" * 60000 + "1", FailureKind.SYNTAX, "the source is nested too deeply"),
        ("", FailureKind.INTERFACE, "the source defines no class Network"),
        ("Network = 3", FailureKind.INTERFACE, "Network is not a subclass of torch.nn.Module"),
        ("class Network: pass", FailureKind.INTERFACE, "Network is not a subclass of torch.nn.Module"),
        (edited("forward", "run"), FailureKind.INTERFACE, "Network defines no method forward"),
        (
            edited("def __init__(self, num_classes)", "def build(self, num_classes)"),
            FailureKind.INTERFACE,
            "Network defines no __init__ that takes num_classes",
        ),
        (
            edited("(self, num_classes)", "(self, classes)").replace("8, num_classes", "8, classes"),
            FailureKind.INTERFACE,
            "Network must be built by Network(num_classes=...), its parameters are (classes): ",
        ),
        (
            edited("(self, num_classes)", "(self, num_classes, width)"),
            FailureKind.INTERFACE,
            "Network must be built by Network(num_classes=...), its parameters are (num_classes, width): missing",
        ),
        (
            edited(RETURN, "self.head(x.mean((2, 3)))"),
            FailureKind.INTERFACE,
            "the output must be a tensor, found NoneType",
        ),
        (edited(RETURN, "return (x, x)"), FailureKind.INTERFACE, "the output must be a tensor, found tuple"),
        (
            edited(RETURN, "return x"),
            FailureKind.INTERFACE,
            "the output must have the shape (4, 4), found (4, 8, 6, 6)",
        ),
        (
            edited(RETURN, RETURN + ".argmax(1)"),
            FailureKind.INTERFACE,
            "the output must be of a floating-point type, found torch.int64",
        ),
        ("import numpi", FailureKind.IMPORT, "ModuleNotFoundError: No module named 'numpi' (line 1)"),
        ("from torch.nn import Konv", FailureKind.IMPORT, "ImportError: cannot import name 'Konv'"),
        (edited("nn.Conv2d", "nn.Konv2d"), FailureKind.IMPORT, "AttributeError: module 'torch.nn' has no attribute"),
        ("G", FailureKind.IMPORT, "NameError: name 'G' is not defined (line 1)"),
        (edited("x = self.norm", "y = x + y\n        x = self.norm"), FailureKind.RUNTIME, "UnboundLocalError: "),
        (edited("self.norm(", "self.norn("), FailureKind.RUNTIME, "AttributeError: 'Network' object has no attribute"),
        (edited("nn.Linear(8,", "nn.Linear(9,"), FailureKind.SHAPE, "RuntimeError: mat1 and mat2 shapes cannot be"),
        (edited("BatchNorm2d(8)", "BatchNorm2d(9)"), FailureKind.SHAPE, "RuntimeError: running_mean should contain"),
        (edited("Conv2d(3,", "Conv2d(4,"), FailureKind.SHAPE, "RuntimeError: Given groups=1, weight of size"),
        (edited(RETURN, "return x + x[:, :, :3]"), FailureKind.SHAPE, "RuntimeError: The size of tensor a (6)"),
        (edited(RETURN, "return torch.cat([x, x[:1]], 1)"), FailureKind.SHAPE, "RuntimeError: Sizes of tensors must"),
        (edited(RETURN, "return x.view(7, -1)"), FailureKind.SHAPE, "RuntimeError: shape '[7, -1]' is invalid"),
        (
            edited(RETURN, "return self.norm(x[:1, :, :1, :1])"),
            FailureKind.SHAPE,
            "ValueError: Expected more than 1 value per channel",
        ),
        (edited(RETURN, "b, c = x.shape"), FailureKind.SHAPE, "ValueError: too many values to unpack"),
        (edited(RETURN, "return 1 / 0"), FailureKind.RUNTIME, "ZeroDivisionError: division by zero (line 15)"),
        (edited(RETURN, "raise SystemExit(0)"), FailureKind.RUNTIME, "SystemExit: 0 (line 15)"),
        (edited(RETURN, "f = lambda: f()\n        return f()"), FailureKind.RUNTIME, "RecursionError: "),
        (edited(RETURN, RETURN + " / 0"), FailureKind.RUNTIME, "the output in training mode is not finite"),
        (
            edited(RETURN, RETURN + " / self.training"),
            FailureKind.RUNTIME,
            "the output in evaluation mode is not finite",
        ),
        (edited(RETURN, RETURN + ".detach()"), FailureKind.RUNTIME, "no parameter receives a gradient"),
        (
            edited(RETURN, "return self.head(x.mean((2, 3))) + 0 * (x.sum() * 0).sqrt()"),
            FailureKind.RUNTIME,
            "the gradient of conv.weight is not finite",
        ),
        (edited(RETURN, "torch.ones(10 ** 12)"), FailureKind.MEMORY, "RuntimeError: "),
        (edited(RETURN, "raise MemoryError"), FailureKind.MEMORY, "MemoryError (line 15)"),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
async def test_every_fault_has_its_kind_and_one_line(checker, source, kind, message):
    failure = await checker.check(source)
    assert isinstance(failure, Failure)
    assert (failure.step, failure.kind) == (Step.EXECUTE, kind)
    assert failure.message.startswith(message)
    assert "\n" not in failure.message


async def test_the_log_shows_the_candidates_own_frames_only(checker):
    failure = await checker.check(edited("nn.Linear(8,", "nn.Linear(9,"))
    assert failure.log_tail.splitlines()[:2] == ["  line 15, in forward", "    " + RETURN]
    assert failure.log_tail.splitlines()[2] == failure.message
    assert "site-packages" not in failure.log_tail


@pytest.mark.parametrize(
    "hostile",
    [
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E('mine')",
        "class S(str):\n    def __str__(self):\n        while True: pass\n    __repr__ = __str__\nraise KeyError(S())",
        "class M(type): __name__ = property(lambda cls: 1 / 0)\nclass E(Exception, metaclass=M): pass\nraise E('mine')",
        "class E(Exception):\n    args = property(lambda self: 1 / 0)\nraise E('mine')",
    ],
)
async def test_an_exception_is_told_without_calling_its_methods(checker, hostile):
    failure = await checker.check(hostile)
    assert failure.kind is FailureKind.RUNTIME
    assert failure.message in ("E: mine (line 4)", "E: mine (line 3)", "KeyError (line 5)")


async def test_a_set_is_walked_in_the_same_order_in_every_life_of_the_server(checker):
    script = "print(hash('candidate'))"
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    expected = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    failure = await checker.check("raise ValueError(hash('candidate'))")
    assert failure.message == f"ValueError: {expected.stdout.strip()} (line 1)"


async def test_a_source_is_checked_once_and_those_who_ask_meanwhile_share_the_job(checker, tmp_path):
    log = tmp_path / "log"
    source = f"import os\nwith open({str(log)!r}, 'a') as file: file.write(f'{{os.getpid()}} ')\n" + GOOD
    reports = await asyncio.gather(*(checker.check(source) for _ in range(3)))
    assert reports == [await checker.check(source)] * 3
    assert len(set(log.read_text().split())) == 1


async def test_a_failure_is_remembered_too(checker, tmp_path):
    log = tmp_path / "log"
    source = f"with open({str(log)!r}, 'a') as file: file.write('x')\nraise ValueError"
    assert await checker.check(source) == await checker.check(source)
    assert log.read_text() == "x"


async def test_who_stops_waiting_does_not_take_the_answer_from_the_others(checker):
    source = GOOD + "# waited for by two"
    impatient, patient = (asyncio.ensure_future(checker.check(source)) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    assert isinstance(await patient, CheckReport)
    assert impatient.cancelled()


@pytest.mark.parametrize("claim", ["{}", '{"costs": {"params": -1, "flops": 2}}', '{"num_repeats": "two"}'])
async def test_a_forged_report_of_another_form_is_a_crash(checker, claim):
    source = f"import os, pathlib\npathlib.Path('report.json').write_text('{{\"result\": {claim}}}')\nos._exit(0)"
    assert await checker.check(source) == Failure(Step.EXECUTE, FailureKind.CRASH, "left a malformed report")


async def test_a_stopped_checker_answers_what_it_knows_and_begins_nothing(sandbox):
    checker = Checker(sandbox, LabSettings(), Contract.for_images(8, 4), num_slots=1)
    known = await checker.check(GOOD)
    checker.stop()
    assert await checker.check(GOOD) == known
    with pytest.raises(StoppingError, match="the check did not start"):
        await checker.check(GOOD + "#")
