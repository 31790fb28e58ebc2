"""What makes two architectures the same, what makes them differ, and how repetitions are counted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnad.domain.contract import Contract
from tests.tools.jobs.fingerprinted import BASE, FUNCTIONAL, HEADER, edited, fingerprint
from tools.jobs.fingerprint import trace
from tools.jobs.network_source import build_network

torch.set_num_threads(1)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(edited(("first", "alpha"), ("Block", "Unit"), ("conv", "c")), id="names"),
        pytest.param("# a remark\n" + edited(("x = self.stem(x)", "x = self.stem(x)  # another")), id="comments"),
        pytest.param(
            edited(
                ("        self.first = Block(8)\n        self.second = Block(8)\n", ""),
                (
                    "        self.drop",
                    "        self.second = Block(8)\n        self.first = Block(8)\n        self.drop",
                ),
            ),
            id="order of definitions",
        ),
        pytest.param(edited(("nn.ReLU()", "nn.ReLU(inplace=True)")), id="in place"),
        pytest.param(edited(("x + self.norm(self.conv(x))", "self.norm(self.conv(x)) + x")), id="order of a sum"),
        pytest.param(edited(("x * 0.5", "0.5 * x")), id="order of a product"),
        pytest.param(
            edited(
                ("self.first = Block(8)", "self.blocks = nn.Sequential(Block(8), Block(8))"),
                ("        self.second = Block(8)\n", ""),
                ("        x = self.second(x)\n", ""),
                ("self.first(x)", "self.blocks(x)"),
            ),
            id="containers",
        ),
        pytest.param(edited(("self.drop =", "self.spare = nn.Linear(9, 9)\n        self.drop =")), id="unused weights"),
        pytest.param(
            edited(("x = self.second", "self.head(x.mean((2, 3)))\n        x = self.second")), id="unused results"
        ),
        pytest.param(
            edited(("self.head =", "self.stem.weight.data.zero_()\n        self.head =")), id="initial values"
        ),
        pytest.param(edited(("x.mean((2, 3))", "x.contiguous().clone().mean((2, 3))")), id="copies"),
        pytest.param(edited(("self.head(x", "self.head(x.view(2, -1)[:, :]")), id="views of the same shape"),
        pytest.param(edited(("(x + self.norm", "(nn.Identity()(x) + self.norm")), id="identities"),
        pytest.param(FUNCTIONAL, id="functional style"),
    ],
)
def test_the_fingerprint_ignores(source):
    assert fingerprint(source).digest == fingerprint(BASE).digest


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(edited(("3, padding=1", "5, padding=2")), id="kernel"),
        pytest.param(edited(("3, padding=1", "3, padding=2, dilation=2")), id="dilation"),
        pytest.param(edited(("groups=1", "groups=2")), id="groups"),
        pytest.param(edited(("nn.Conv2d(3, 8, 3)", "nn.Conv2d(3, 8, 3, stride=2)")), id="stride"),
        pytest.param(edited(("nn.Conv2d(3, 8, 3)", "nn.Conv2d(3, 8, 3, bias=False)")), id="bias"),
        pytest.param(
            edited(("Conv2d(3, 8,", "Conv2d(3, 16,"), ("Block(8)", "Block(16)"), ("r(8,", "r(16,")), id="width"
        ),
        pytest.param(edited(("nn.ReLU()", "nn.GELU()")), id="activation"),
        pytest.param(edited(("1e-5", "1e-3")), id="epsilon"),
        pytest.param(edited(("x + self.norm", "self.norm")), id="connection"),
        pytest.param(edited(("self.head(x", "self.head(x.detach()")), id="stopped gradient"),
        pytest.param(edited(("x * 0.5", "x * 0.25")), id="literal"),
        pytest.param(edited(("x * 0.5", "x * torch.tensor([0.5])")), id="constant"),
        pytest.param(edited(("Dropout(0.1)", "Dropout(0.2)")), id="dropout, which only training shows"),
        pytest.param(edited(("x = self.second(x)", "x = self.first(x)")), id="shared weights"),
        pytest.param(edited(("        x = self.second(x)\n", "")), id="depth"),
        pytest.param(edited(("return self.head(", "x.view(4, -1)[0] = 0\n        return self.head(")), id="a write"),
    ],
)
def test_the_fingerprint_tells(source):
    assert fingerprint(source).digest != fingerprint(BASE).digest


def test_small_constants_differ_by_their_values():
    one, other = (edited(("x * 0.5", f"x * torch.tensor([{value}])")) for value in (0.5, 0.75))
    assert fingerprint(one).digest != fingerprint(other).digest


def test_the_order_in_which_independent_branches_run_does_not_count():
    template = """
class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(3, 8, 5, padding=2)
        self.head = nn.Linear(16, num_classes)

    def forward(self, x):
        {}
        {}
        return self.head(torch.cat([a, b], 1).mean((2, 3)))
"""
    steps = ("a = self.a(x)", "b = self.b(x)")
    assert fingerprint(template.format(*steps)).digest == fingerprint(template.format(*reversed(steps))).digest


def test_seeds_and_runs_do_not_count():
    assert fingerprint(BASE, seed=1) == fingerprint(BASE, seed=2)


CONTRACT = Contract.for_images(8, 4)


def test_a_digest_is_sixteen_digits_and_depends_on_the_image_size():
    digest = fingerprint(BASE).digest
    assert len(digest) == 16 and int(digest, 16) >= 0
    assert fingerprint(BASE, image_size=12).digest != digest


def test_tracing_leaves_no_hooks_behind():
    network = build_network(HEADER + BASE, CONTRACT, seed=0)
    trace(network, CONTRACT)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_network_that_returns_no_tensor_cannot_be_traced():
    with pytest.raises(TypeError, match="the network returned tuple instead of a tensor"):
        trace(build_network(HEADER + edited(("* 0.5)", "* 0.5),")), CONTRACT, seed=0), CONTRACT)


# Twins: one network written twice. Near misses: one thing in it changed.

RICH = """
class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.sign(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 1.0


class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.register_buffer("table", torch.arange(80.0).view(8, 10)[:, :8] / 80)
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(3, 8, 3, padding=1)
        self.c = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2)
        self.norm = nn.BatchNorm2d(8, eps=1e-5)
        self.groups = nn.GroupNorm(2, 8, eps=1e-5)
        self.slope = nn.LeakyReLU(0.1)
        self.curve = nn.ELU(1.0)
        self.pool = nn.AvgPool2d(2, count_include_pad=True)
        self.drop = nn.Dropout(0.1)
        self.gate = nn.Linear(8, 8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        a = self.a(x)
        b = self.b(x)
        x = self.slope(self.norm(a + b))
        y = self.curve(self.groups(self.c(x)))
        z = Straight.apply(y - a)
        x = self.pool(z + x).mean((2, 3)) @ self.table
        x = x * torch.sigmoid(self.gate(x))
        return self.head(self.drop(x.softmax(-1)))
"""
SWAPS = [
    ("        a = self.a(x)\n        b = self.b(x)\n", "        b = self.b(x)\n        a = self.a(x)\n"),
    ("a + b", "b + a"),
    ("z + x)", "x + z)"),
    ("x * torch.sigmoid(self.gate(x))", "torch.sigmoid(self.gate(x)) * x"),
    (
        "        self.a = nn.Conv2d(3, 8, 3, padding=1)\n        self.b = nn.Conv2d(3, 8, 3, padding=1)\n",
        "        self.b = nn.Conv2d(3, 8, 3, padding=1)\n        self.a = nn.Conv2d(3, 8, 3, padding=1)\n",
    ),
    ("self.a", "self.first"),
    ("self.gate", "self.attend"),
    ("Straight", "Through"),
    ("self.slope(self.norm(a + b))", "F.leaky_relu(self.norm(torch.add(a, b)), 0.1, inplace=True)"),
    ("self.drop(x.softmax(-1))", "F.dropout(torch.softmax(x, -1), 0.1, self.training)"),
    (
        "self.head = nn.Linear(8, num_classes)",
        "self.head = nn.Linear(8, num_classes)\n        nn.init.zeros_(self.head.weight)",
    ),
    ("        y = self.curve", "        unused = self.head(x.mean((2, 3)))  # of no use\n        y = self.curve"),
]
NEAR_MISSES = {
    "dilation": ("padding=2, dilation=2", "padding=1, dilation=1"),
    "groups": ("groups=2", "groups=4"),
    "eps of batch norm": ("BatchNorm2d(8, eps=1e-5)", "BatchNorm2d(8, eps=1e-4)"),
    "eps of group norm": ("GroupNorm(2, 8, eps=1e-5)", "GroupNorm(2, 8, eps=1e-4)"),
    "groups of a norm": ("GroupNorm(2, 8", "GroupNorm(4, 8"),
    "momentum": ("BatchNorm2d(8, eps=1e-5)", "BatchNorm2d(8, eps=1e-5, momentum=0.2)"),
    "slope": ("LeakyReLU(0.1)", "LeakyReLU(0.2)"),
    "alpha": ("ELU(1.0)", "ELU(0.5)"),
    "p of dropout": ("Dropout(0.1)", "Dropout(0.11)"),
    "pooling": ("AvgPool2d(2, count_include_pad=True)", "MaxPool2d(2)"),
    "padding mode": (
        "self.a = nn.Conv2d(3, 8, 3, padding=1)",
        "self.a = nn.Conv2d(3, 8, 3, padding=1, padding_mode='reflect')",
    ),
    "order of a difference": ("y - a", "a - y"),
    "what is subtracted": ("y - a", "y - x"),
    "where a skip comes from": ("z + x)", "z + b)"),
    "order of layers": ("self.slope(self.norm(a + b))", "self.norm(self.slope(a + b))"),
    "dimension of a softmax": ("softmax(-1)", "softmax(0)"),
    "shared weights": ("b = self.b(x)", "b = self.a(x)"),
    "a backward of its own": ("gradient * 1.0", "gradient * 2.0"),
    "no backward of its own": ("Straight.apply(y - a)", "torch.sign(y - a)"),
    "a frozen weight": ("self.head = nn", "self.c.weight.requires_grad_(False)\n        self.head = nn"),
    "a constant in a buffer": ("/ 80)", "/ 81)"),
}


@given(swaps=st.lists(st.sampled_from(SWAPS), min_size=1, max_size=5, unique=True), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_twins_have_one_fingerprint_whatever_is_renamed_reordered_or_initialised_otherwise(swaps, seed):
    twin = RICH
    for old, new in swaps:
        if old in twin:
            twin = twin.replace(old, new)
    assert fingerprint(twin, seed=seed).digest == fingerprint(RICH).digest


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_has_another_fingerprint(name):
    old, new = NEAR_MISSES[name]
    assert old in RICH
    assert fingerprint(RICH.replace(old, new)).digest != fingerprint(RICH).digest


def test_equal_operands_are_told_apart_by_what_else_they_are_used_for():
    for twin in (RICH.replace("a + b", "b + a"), RICH.replace("y - a", "y - b")):
        assert fingerprint(twin).digest == fingerprint(RICH).digest


def test_a_running_statistic_is_no_constant():
    template = """
class Network(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.register_buffer("level", torch.{}(3, 1, 1))
        self.head = nn.Linear(192, num_classes)

    def forward(self, x):
        if self.training:
            self.level.lerp_(x.mean((0, 2, 3)).view(3, 1, 1), 0.1)
        return self.head((x - self.level).flatten(1))
"""
    assert fingerprint(template.format("zeros")).digest == fingerprint(template.format("ones")).digest
