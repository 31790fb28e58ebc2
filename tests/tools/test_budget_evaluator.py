"""Parameters and FLOPs, against numbers worked out by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fairnad.domain.contract import Contract
from tools import budget_evaluator
from tools.budget_evaluator import count_buffers, count_params, flop_count
from tools.jobs.network_source import build_network

ROOT = Path(__file__).parents[2]
RESNET = ROOT / "prompts" / "vision" / "models" / "resnet32.py"


def test_resnet32_costs_what_the_paper_counts():
    network = build_network(RESNET.read_text(), Contract.for_images(32, 10), seed=0)
    assert count_params(network) == 466_906
    assert flop_count(network, torch.zeros(1, 3, 32, 32)).total == 69_759_616


class Attention(nn.Module):
    """Self-attention over the pixels, with eight channels and two heads."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = {"need_weights": False} | options
        self.embed = nn.Conv2d(3, 8, 1)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.attention(x, x, x, **self.options)[0]


# Sixteen pixels: embedding, the three projections in and the one out, then q·k and attention·v.
ATTENTION_FLOPS = 16 * 3 * 8 + 16 * 8 * 8 * 4 + 16 * 16 * 8 * 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"need_weights": True},
        {"attn_mask": torch.zeros(16, 16)},
        {"attn_mask": torch.zeros(16, 16), "need_weights": True},
    ],
)
def test_attention_counts_its_products_whichever_kernel_does_them(options):
    assert flop_count(Attention(**options), torch.zeros(1, 3, 4, 4)).total == ATTENTION_FLOPS


class Product(nn.Module):
    """Multiplies the image by a constant of some shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(shape))

    def forward(self, x):
        return x @ self.factor


@pytest.mark.parametrize(
    ("shape", "flops"), [((4,), 3 * 4 * 4), ((4, 5), 3 * 4 * 4 * 5), ((7, 1, 4, 5), 7 * 3 * 4 * 4 * 5)]
)
def test_a_product_counts_with_vectors_and_with_broadcasting(shape, flops):
    assert flop_count(Product(*shape), torch.zeros(1, 3, 4, 4)).total == flops


def test_attention_counts_with_keys_and_values_of_their_own_sizes():
    class Cross(nn.Module):
        def forward(self, x):
            queries, keys, values = x.new_zeros(1, 2, 5, 4), x.new_zeros(1, 2, 7, 4), x.new_zeros(1, 2, 7, 3)
            return F.scaled_dot_product_attention(queries, keys, values)

    assert flop_count(Cross(), torch.zeros(1, 3, 4, 4)).total == 2 * 5 * 7 * (4 + 3)


def test_a_network_in_training_mode_is_counted_in_evaluation_mode_and_given_back():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)).train()
    assert flop_count(network, torch.zeros(1, 3, 4, 4)).total == 16 * 3 * 8 + 2 * 16 * 8
    assert network.training


def test_shared_parameters_count_once_and_buffers_apart():
    layer = nn.Linear(3, 3)
    network = nn.Sequential(layer, layer, nn.BatchNorm1d(3))
    assert count_params(network) == 12 + 6
    assert count_buffers(network) == 3 + 3 + 1


def test_counting_is_quiet(recwarn, caplog, capfd):
    flop_count(Attention(), torch.zeros(1, 3, 4, 4))
    assert not recwarn.list
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_the_command_prints_two_integers():
    command = [sys.executable, "-m", "tools.budget_evaluator", str(RESNET)]
    done = subprocess.run(
        [*command, "--num-classes", "10", "--image-size", "32", "--json"], cwd=ROOT, capture_output=True, check=True
    )
    assert json.loads(done.stdout) == {"params": 466906, "flops": 69759616}
    assert done.stdout.decode() == '{"params": 466906, "flops": 69759616}\n'
    assert done.stderr == b""


def test_a_file_that_does_not_run_is_one_line_and_exit_status_2(tmp_path, capsys):
    file = tmp_path / "broken.py"
    file.write_text("import torch.nn as nn\nclass Network(nn.Konv2d): pass")
    assert budget_evaluator.main([str(file)]) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert error == f"{file}: import: AttributeError: module 'torch.nn' has no attribute 'Konv2d' (line 2)\n"


def test_a_missing_file_is_one_line_and_exit_status_2(tmp_path, capsys):
    assert budget_evaluator.main([str(tmp_path / "no.py")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path}/no.py: expected a Python source, but it cannot be read: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--num-classes", "--image-size"])
def test_a_size_below_one_is_refused(option, capsys):
    with pytest.raises(SystemExit) as ended:
        budget_evaluator.main(["file.py", option, "0"])
    assert ended.value.code == 2
    assert f"argument {option}: invalid" in capsys.readouterr().err


def test_a_readable_line_is_the_default(capsys, monkeypatch):
    async def measure(*_: object) -> dict[str, float]:
        return {"params": 12010.0, "flops": 12000.0}

    monkeypatch.setattr(budget_evaluator, "_measure", measure)
    assert budget_evaluator.main(["small.py", "--image-size", "20"]) == 0
    line = "small.py: 12,010 parameters, 12,000 multiply-adds for one image of 20×20 pixels\n"
    assert capsys.readouterr().out == line


def test_the_command_loads_no_torch_of_its_own():
    code = "import sys, tools.budget_evaluator, tools.lab, tools.sandbox.supervisor; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
