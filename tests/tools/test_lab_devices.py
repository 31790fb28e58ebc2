"""The lab's numbers and devices, without a sandbox."""

from __future__ import annotations

import numpy as np
import pytest

from fairnad.errors import SettingsError
from tools import lab as lab_module
from tools.lab import device_name, environment
from tools.scoring import accuracy_of


def test_a_row_with_a_nan_is_wrong():
    logits = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, 0.0], [0.0, np.nan], [np.inf, 0.0]], np.float32)
    assert accuracy_of(logits, np.array([1, 1, 0, 1, 0])) == 2 / 5


def test_the_environment_names_what_changes_numbers():
    assert environment("cpu").startswith("torch 2.")
    assert environment("cpu").endswith(" cpu 1 thread")
    assert environment("cpu") != environment("cuda")


def test_a_gpu_that_is_not_there_is_a_wrong_setting(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SettingsError, match=r"--lab.device cuda: expected an NVIDIA GPU, found no /dev/nvidia0"):
        device_name("cuda")
    assert device_name("auto") == "cpu"


def test_slots_take_turns_on_gpus(monkeypatch):
    monkeypatch.setattr(lab_module, "_num_gpus", lambda: 2)
    assert device_name("auto") == device_name("cuda") == "cuda"
    assert device_name("cpu") == "cpu"
    assert lab_module._devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert lab_module._devices("cuda", 0) == ["cuda:0", "cuda:1"]


def test_there_is_a_slot_for_each_core_unless_set(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert lab_module._devices("cpu", 0) == ["cpu"] * 3
    assert lab_module._devices("cpu", 5) == ["cpu"] * 5
