"""Which tensors beside the parameters are free, which count, and which are refused."""

from __future__ import annotations

import pytest

from fairnad.records.candidate import CheckReport, Failure, FailureKind
from tests.tools.jobs.honest_network import network
from tools.checks import Checker

pytestmark = pytest.mark.asyncio(loop_scope="session")

WINDOW = """
c = torch.stack(torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")).flatten(1)
r = (c[:, :, None] - c[:, None, :]).permute(1, 2, 0) + 6
self.table = nn.Parameter(torch.zeros(169, 16))
self.register_buffer("index", r[..., 0] * 13 + r[..., 1])
"""
SINES = "torch.sin(torch.arange(16 * 16 * 32.0) * 0.1).view(32, 16, 16)"
CACHE = f"""
if x.shape[2:] not in self.cache:
    self.cache[x.shape[2:]] = {SINES}
x = x + self.cache[x.shape[2:]][:16].to(x.device)
"""
FREE = {
    "a relative position index": (
        network(init=WINDOW, forward="x = x + self.table[self.index.view(-1)].mean(0).view(1, 16, 1, 1)"),
        169 * 16,
    ),
    "a table of sines": (
        network(init=f'self.register_buffer("sines", {SINES})', forward="x = x + self.sines[:16]"),
        0,
    ),
    "one that is not stored": (
        network(init=f'self.register_buffer("sines", {SINES}, persistent=False)', forward="x = x + self.sines[:16]"),
        0,
    ),
    "one that is kept by size": (network(init="self.cache = {}", forward=CACHE), 0),
    "an order of pixels that is drawn": (
        network(
            init="order = torch.stack([torch.randperm(256) for _ in range(16)])\n"
            'self.register_buffer("order", order[None])',
            forward="x = x + x.flatten(2).gather(2, self.order.expand(len(x), -1, -1)).view_as(x)",
        ),
        0,
    ),
}
COUNTED = {
    "a random buffer": network(init='self.register_buffer("w", torch.randn(16, 16))', late="x = x + x @ self.w"),
    "a random attribute": network(init="self.w = torch.randn(16, 16)", late="x = x + x @ self.w"),
    "one that is not stored": network(
        init='self.register_buffer("w", torch.randn(16, 16), persistent=False)', late="x = x + x @ self.w"
    ),
    "one by its own generator": network(
        init='g = torch.Generator().manual_seed(0)\nself.register_buffer("w", torch.randn(16, 16, generator=g))',
        late="x = x + x @ self.w",
    ),
    "one by a seed of its own": network(
        init="torch.manual_seed(3)\nself.register_buffer('w', torch.nn.init.orthogonal_(torch.empty(16, 16)))",
        late="x = x + x @ self.w",
    ),
    "one that training writes to": network(
        init='self.register_buffer("w", torch.eye(16))',
        late="if self.training: self.w.mul_(0.9).add_(0.1 * (x.detach().mT @ x.detach()))\nx = x + x @ self.w",
    ),
    "integers that are no indices": network(
        init='self.register_buffer("w", torch.randint(-1, 2, (16, 16)))', late="x = x + x @ self.w.float()"
    ),
}
REFUSED = {
    "large integers that are no indices": (
        network(
            init='self.register_buffer("w", torch.randint(-9, 9, (16, 1024), dtype=torch.int32))',
            late="x = x + (x @ self.w.float())[:, :16]",
        ),
        "hold 65536 bytes, 16384 are allowed",
    ),
    "indices that are learned": (
        network(
            init='self.register_buffer("w", torch.randint(0, 16, (256, 16)))',
            late="if self.training: self.w.copy_((self.w + x.detach().argmax() + 1) % 16)\nx = x + x[:, self.w[0]]",
        ),
        "hold 32768 bytes, 16384 are allowed",
    ),
    "tables without end": (
        network(
            init='self.register_buffer("sines", torch.sin(torch.arange(2.0**20 + 1)))',
            forward="x = x + self.sines[: x[0].numel()].view_as(x[0])",
        ),
        "constant tables hold 4194308 bytes, 4194304 are allowed",
    ),
}


async def params_of(default_checker: Checker, source: str) -> float:
    report = await default_checker.check(source)
    assert isinstance(report, CheckReport), report
    assert report.findings == ()
    return report.costs["params"]


@pytest.mark.parametrize("name", FREE)
async def test_what_says_nothing_about_the_seed_or_only_chooses_is_free(default_checker, name):
    source, num_params = FREE[name]
    assert await params_of(default_checker, source) == await params_of(default_checker, network()) + num_params


@pytest.mark.parametrize("name", COUNTED)
async def test_everything_else_counts_as_parameters_do(default_checker, name):
    assert await params_of(default_checker, COUNTED[name]) == await params_of(default_checker, network()) + 256


@pytest.mark.parametrize("name", REFUSED)
async def test_too_much_of_it_is_refused(default_checker, name):
    source, message = REFUSED[name]
    failure = await default_checker.check(source)
    assert isinstance(failure, Failure), failure
    assert failure.kind is FailureKind.HIDDEN_WEIGHTS
    assert message in failure.message


async def test_the_vectors_of_spectral_norm_are_statistics(default_checker):
    wrapped = "nn.utils.parametrizations.spectral_norm"
    source = network(init=f"self.conv = {wrapped}(self.conv)\nself.wide = {wrapped}(nn.Linear(16, 6000))").replace(
        "return self.head(x)", "return self.head(x) + self.wide(x).mean(1, keepdim=True)"
    )
    assert await params_of(default_checker, source) == await params_of(default_checker, network()) + 17 * 6000
