"""The check-up: each fault is found, named and answered with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from fairnad.errors import TaskError
from fairnad.settings.search_settings import (
    LabSettings,
    RunContext,
)
from graphs.cli.doctor import Health, data, machine, sandbox, stores
from graphs.cli.search_command import main
from tests.e2e.networks import costs, network
from tests.graphs.cli.doctor.findings import by_part, told
from tests.tools.datasets.data_files import write_classes
from tools.datasets.image_decoding import CONVERT
from tools.sandbox.isolation import Level

ROOT = Path(__file__).parents[4]


def test_a_machine_that_runs_these_tests_is_fit(context):
    found = by_part(machine.examine_machine(context))
    assert {part for part, finding in found.items() if finding.health is Health.FAIL} == set()
    assert f"torch {version('torch')}" in found["packages"].found
    assert found["python"].found.startswith(sys.version.split()[0])


def test_a_package_that_is_missing_or_too_old_is_named(context, monkeypatch):
    asked = {"requires-python": ">=3.99", "dependencies": ["numpy>=99", "no-such-package-here>=1", "rich>=14"]}
    monkeypatch.setattr(machine, "_project", lambda: asked)
    failed = [told(one) for one in machine.examine_machine(context) if one.health is Health.FAIL]
    assert failed == [
        ("FAIL", f"{sys.version.split()[0]}, expected >=3.99", "make setup PYTHON=... with a newer one"),
        ("FAIL", f"numpy {version('numpy')}, expected >=99", "make setup"),
        ("FAIL", "no-such-package-here is not installed", "make setup"),
    ]


def test_more_slots_than_cores_and_more_memory_than_there_is(context):
    greedy = context.model_copy(update={"lab": LabSettings(slots=500, memory="900G", device="cpu")})
    found = by_part(machine.examine_machine(greedy))
    assert (found["slots"].health, found["memory"].health) == (Health.WARN, Health.WARN)
    assert "500 on cpu" in found["slots"].found
    assert "500 jobs may take 900G each" in found["memory"].found
    assert found["memory"].advice.startswith("--lab.memory ")


def test_a_cluster_that_cannot_be_reached(context):
    lab = LabSettings(address="127.0.0.1:1", device="cpu")
    found = by_part(machine.examine_machine(context.model_copy(update={"lab": lab})))
    assert found["slots"].health is Health.FAIL
    assert "--lab.address" in found["slots"].found
    assert found["slots"].advice == "correct the setting, or omit it"


def test_a_gpu_that_is_asked_for_and_is_not_there(context, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = by_part(machine.examine_machine(context.model_copy(update={"lab": LabSettings(device="cuda")})))
    assert found["slots"].health is Health.FAIL
    assert "--lab.device cuda: expected an NVIDIA GPU" in found["slots"].found


def fake_nvidia_smi(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU here")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 9", ("OK", "none; candidates train on the CPU", "")),
        (
            "echo 'NVIDIA H100, 81559 MiB, 560.35'",
            ("WARN", "NVIDIA H100, 81559 MiB, 560.35, but no /dev/nvidia0", "start the container with its GPUs"),
        ),
    ],
)
def test_what_nvidia_smi_says(tmp_path, script, expected, monkeypatch):
    fake_nvidia_smi(tmp_path, script, monkeypatch)
    assert told(machine._gpu()) == expected


def test_a_gpu_with_its_driver_and_torch(tmp_path, monkeypatch):
    fake_nvidia_smi(tmp_path, "echo 'NVIDIA H100, 81559 MiB, 560.35'", monkeypatch)
    monkeypatch.setattr(machine, "_gpu_files", lambda: ["nvidia0"])
    monkeypatch.setattr(machine, "_torch_cuda", lambda: "13.0")
    assert told(machine._gpu())[:2] == (
        "OK",
        f"NVIDIA H100, 81559 MiB, 560.35; torch {version('torch')} for CUDA 13.0",
    )
    monkeypatch.setattr(machine, "_torch_cuda", lambda: None)
    assert "is built without CUDA" in machine._gpu().found
    monkeypatch.setattr(machine, "_torch_cuda", lambda: "13.0")
    fake_nvidia_smi(tmp_path, "exit 9", monkeypatch)
    assert told(machine._gpu()) == (
        *("WARN", "nvidia0, but nvidia-smi reports nothing", "install or repair the NVIDIA driver"),
    )


def test_the_cuda_of_torch_is_read_off_its_files():
    code = "import torch; print(torch.version.cuda)"
    real = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert str(machine._torch_cuda()) == real


def test_only_the_data_set_of_the_task_is_looked_for(context, tmp_path):
    inputs, findings = data.examine_data(context.model_copy(update={"data": str(tmp_path / "nowhere")}))
    assert inputs is not None
    [digits] = findings
    assert (digits.part, digits.health) == ("digits", Health.OK)
    assert digits.found.endswith(" training and 600 validation images, 16×16")


def test_a_data_set_that_is_needed_and_missing_fails_with_where_to_get_it(context, tmp_path):
    wanted = context.model_copy(update={"data": str(tmp_path), "task": "cifar10"})
    inputs, [finding] = data.examine_data(wanted)
    assert inputs is None
    assert (finding.part, finding.health) == ("cifar10", Health.FAIL)
    assert str(tmp_path) in finding.found
    assert finding.advice.startswith("get it with: ")


def test_classes_and_files_left_out_are_part_of_the_check_up(context, tmp_path):
    write_classes(tmp_path / "pets", {"cat": 5, "dog": 5})
    (tmp_path / "pets" / "cat" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    wanted = context.model_copy(update={"data": str(tmp_path / "pets"), "task": "folder"})
    inputs, findings = data.examine_data(wanted)
    assert inputs is not None
    assert [told(finding) for finding in findings[1:]] == [
        ("OK", "cat (3) and dog (3), training images", ""),
        ("WARN", "left out: 1 of a format that is not read (cat/phone.heic)", ""),
        ("WARN", "Unsupported formats: HEIC (1 file)", f"{CONVERT}."),
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "digitz"}, "the pack vision has no task digitz"),
        ({"recipe": "slow"}, "unknown recipe slow"),
        ({"pack": "nowhere"}, "pack 'nowhere': expected one of"),
        ({"base": "nowhere"}, "base 'nowhere': expected a Python file"),
    ],
)
def test_settings_that_lead_nowhere_fail(context, settings, message):
    inputs, findings = data.examine_data(context.model_copy(update=settings))
    assert inputs is None
    failed = [finding for finding in findings if finding.health is Health.FAIL]
    assert message in failed[0].found


def test_stores_and_runs_that_are_in_order(context, make_run):
    make_run().close()
    found = by_part(stores.examine_stores(context))
    assert found["ideas"].health is Health.OK
    assert "the index will be built when a search starts" in found["ideas"].found
    assert told(found["run"]) == ("OK", f"{context.runs}/made: 2 of 4 trained; the same command resumes it", "")
    assert told(found["runs"]) == ("OK", f"1 readable in {context.runs}", "")
    assert not (Path(context.runs) / ".ideas").exists(), "a check-up writes nothing"


def test_a_run_that_is_new_or_being_searched(context, make_run):
    assert told(by_part(stores.examine_stores(context))["run"])[1] == f"{context.runs}/made is new"
    with make_run():
        findings = by_part(stores.examine_stores(context))
    assert findings["run"].health is Health.WARN
    assert "in use by process" in findings["run"].found
    assert findings["made"].found.startswith("in use by process ")


def test_what_is_wrong_with_runs_is_named(context, make_run, tmp_path):
    make_run(seed=4).close()
    junk = Path(context.runs) / "junk"
    junk.mkdir()
    found = by_part(stores.examine_stores(context))
    assert found["run"].health is Health.FAIL
    assert "was started with other settings: --seed (was 4, now 0)" in found["run"].found
    assert told(found["junk"]) == (
        *("WARN", f"expected a run folder, found no settings.toml in {junk}", f"remove or move {junk}"),
    )


def test_ideas_that_cannot_be_read(context, tmp_path):
    (tmp_path / "ideas.jsonl").write_text("{broken\n")
    found = by_part(stores.examine_stores(context.model_copy(update={"ideas": str(tmp_path / "ideas.jsonl")})))
    assert found["ideas"].health is Health.FAIL
    assert "line 1" in found["ideas"].found


async def test_the_sandbox_is_started_and_the_base_measured(context, tmp_path):
    base = tmp_path / "base.py"
    base.write_text(network())
    for limit, health, share in ((10_000, "OK", "15%"), (1_000, "WARN", "151%")):
        settings = context.model_copy(update={"base": str(base), "max_params": float(limit)})
        inputs, _ = data.examine_data(settings)
        found = by_part(await sandbox.examine_sandbox(settings, inputs))
        assert found["sandbox"].found.startswith("starts in ")
        assert told(found["base"])[:1] == (health,)
        assert found["base"].found.startswith(f"{costs():,} params ({share}), ")


async def test_a_base_that_does_not_run_fails(context, tmp_path):
    base = tmp_path / "base.py"
    base.write_text("class Network:\n    pass\n")
    broken = context.model_copy(update={"base": str(base)})
    inputs, _ = data.examine_data(broken)
    found = by_part(await sandbox.examine_sandbox(broken, inputs))
    assert (found["sandbox"].health, found["base"].health) == (Health.OK, Health.FAIL)
    assert found["base"].advice == "choose another --base"


async def test_without_data_the_sandbox_is_examined_all_the_same(context):
    started, isolation = await sandbox.examine_sandbox(context, None)
    assert started.health is Health.OK
    assert isolation.part == "isolation"


async def test_weak_isolation_fails_for_a_models_code_unless_it_is_named_and_warns_otherwise(context, monkeypatch):
    weak = context.model_copy(update={"lab": context.lab.model_copy(update={"isolation": "E"})})
    found = by_part(await sandbox.examine_sandbox(weak, None))["isolation"]
    assert (found.health, found.found) == (Health.WARN, "E: limits only; files can be read and written")
    by_model = RunContext.model_validate({**context.model_dump(mode="json"), "llm": {"model": "m"}})
    monkeypatch.setattr(sandbox, "find_level", lambda settings: Level.E)
    found = by_part(await sandbox.examine_sandbox(by_model, None))["isolation"]
    assert found.health is Health.FAIL
    assert found.found.startswith("--lab.isolation: expected at least C for code a language model writes, found E")


def test_the_whole_check_up(runs, capsys, tmp_path):
    arguments = ["doctor", "--runs", str(runs), "--data", str(tmp_path)]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["is_ready"] is True
    sections = list(dict.fromkeys(finding["section"] for finding in report["findings"]))
    assert sections == ["machine", "data", "stores", "model", "sandbox"]
    assert not runs.exists()
    assert main([*arguments, "--task", "cifar10"]) == 1
    text = capsys.readouterr().out
    assert "  FAIL  cifar10          CIFAR-10 was not found in " in text
    assert "not ready: 1 to fix" in text
    assert main([*arguments, "--tsk", "x"]) == 2
    assert capsys.readouterr().err == "error: unknown flag --tsk; did you mean --task?\n"


def test_data_errors_are_what_the_check_up_expects(context, tmp_path):
    """The advice is what follows the first semicolon of the error."""
    from graphs.runtime.inputs import read_inputs

    with pytest.raises(TaskError, match="; get it with: "):
        read_inputs(context.model_copy(update={"task": "cifar10", "data": str(tmp_path)}))
