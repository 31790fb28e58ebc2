"""The integrity verdicts on one network; docs/verdicts.md lists them with tolerances and reasons.

Behaviour is judged with perturbed parameters, so that branches initialised to zero take part, and with running
statistics of a few batches, since a deep untrained network passes hardly any signal otherwise. Findings come from the
candidate's own process: they can refuse it, and the scoring outside detects false ones (:mod:`tools.scoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from fairnad.domain.contract import Contract
from fairnad.records.candidate import FailureKind, Finding
from tools.agreement import SAME_FOR_ALL, UNDECIDED, Comparison, compare, differs_between_images
from tools.jobs.network_source import example_inputs, outputs_of, seed_everything
from tools.jobs.state import (
    State,
    changed_numbers,
    changed_tensors,
    grown,
    leaves_with_gradient,
    state_of,
)

_NUM_EXAMPLES = 6
_GAIN = 6**0.5
"""Scales torch's default initialisation so that ReLU layers preserve the size of a signal."""
_BATCH_SIZE = 4
_WARM_UP_BATCH_SIZE = 8
_MAX_WARM_UPS = 4
_PERTURBATION = 0.1
_TOO_ALIKE = 1e-3
"""Logits that differ between examples by less than this share of their size cannot be judged."""
_MAX_NAMES = 3
_MAX_NAME_CHARACTERS = 80


def same_builds(one: nn.Module, other: nn.Module) -> Iterator[Finding]:
    """Two networks built from one source with one seed must be equal."""
    first, second = one.state_dict(), other.state_dict()
    differing = [name for name in dict.fromkeys([*first, *second]) if not _equal(first.get(name), second.get(name))]
    if differing:
        yield Finding(
            FailureKind.NOT_DETERMINISTIC,
            f"two builds with the same seed differ in {_format_names(differing)}; draw random numbers from torch, "
            "numpy.random or random, which are seeded, and change no global state",
        )


def weights_beside(network: nn.Module, logits: Tensor) -> Iterator[Finding]:
    """Find tensors that receive gradients without being parameters, and parameters without gradients.

    Stops gradients of the former.

    Args:
        logits: of the network, before or after their backward pass.
    """
    parameters = {id(parameter): name for name, parameter in network.named_parameters()}
    leaves = leaves_with_gradient(logits)
    strangers = [leaf for leaf in leaves if id(leaf) not in parameters]
    if strangers:
        # The traced graph for the FLOP count allows only constants.
        for leaf in strangers:
            leaf.requires_grad_(False)
        hidden = [str(tuple(leaf.shape)) for leaf in strangers]
        yield Finding(
            FailureKind.HIDDEN_WEIGHTS,
            f"tensors of shape {_format_names(hidden)} receive gradients but are not parameters; "
            "assign nn.Parameter to an attribute of a module, or use nn.ParameterList",
        )
    reached = {id(leaf) for leaf in leaves}
    idle = [name for name, p in network.named_parameters() if p.requires_grad and id(p) not in reached]
    if idle:
        yield Finding(FailureKind.INTEGRITY, f"no gradient reaches {_format_names(idle)}", is_fault=False)


def created_late(before: Sequence[str], after: Sequence[str]) -> Iterator[Finding]:
    """Find tensors of the state dict that appear or vanish while the network runs.

    Args:
        before: names in the state dict before the first batch; ``after``: at the end.
    """
    differing = [name for name in dict.fromkeys([*before, *after]) if (name in before) != (name in after)]
    if differing:
        yield Finding(
            FailureKind.INTEGRITY,
            f"{_format_names(differing)} appeared or disappeared while the network ran; create every layer in __init__",
        )


def behaviour(network: nn.Module, contract: Contract, seed: int) -> Iterator[Finding]:
    """Check that evaluation mode is deterministic, independent of the batch, dependent on the input, and stateless.

    Args:
        network: a copy that is used for nothing else; parameters are perturbed and running statistics replaced.
        seed: every pass begins with other random states, as in separate jobs.
    """
    whole, images = tuple(range(_BATCH_SIZE)), example_inputs(contract, _NUM_EXAMPLES)

    @torch.no_grad()
    def answer(numbers: tuple[int, ...], number: int) -> Tensor:
        seed_everything(seed + number)
        return outputs_of(network.eval(), images[list(numbers)], contract).float()

    with _perturb(network) as restore:
        first = _warm_up(network, contract, lambda: answer(whole, 1))
        if not differs_between_images(first.numpy(), _TOO_ALIKE):
            _amplify(network)
            first = _warm_up(network, contract, lambda: answer(whole, 1))
        if not torch.isfinite(first).all():
            restore()
            first = _warm_up(network, contract, lambda: answer(whole, 1))
        before = state_of(network)
        again = answer(whole, 2)
        after = state_of(network)
        yield from _memory(before, after)
        repeated = _compare(first, again)
        if repeated.is_same:
            there = torch.cat([answer((0,), 3), answer((3,), 4), answer((2, 0, 5), 5)[:2]])
            yield from _independence(_compare(first[[0, 3, 2, 0]], there))
        else:
            yield Finding(
                FailureKind.NOT_DETERMINISTIC,
                f"the same images twice in evaluation mode: {repeated}; random operators belong under "
                "`if self.training`, and F.dropout needs training=self.training",
            )
        yield from _dependence(network, images[:_BATCH_SIZE], first)


@torch.no_grad()
def _amplify(network: nn.Module) -> None:
    """Enlarge the weights, so that a signal passes through a deep network without norm layers."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.mul_(_GAIN)


def _warm_up(network: nn.Module, contract: Contract, answer: Callable[[], Tensor]) -> Tensor:
    """The answer after as few training batches as it takes to fill the running statistics."""
    for module in network.modules():
        if isinstance(module, _NormBase):
            module.reset_running_stats()
            # Use the mean over all batches.
            module.momentum = None
    keeps_statistics = any(True for _ in network.buffers())
    for _ in range(_MAX_WARM_UPS if keeps_statistics else 0):
        with torch.no_grad():
            network.train()(example_inputs(contract, _WARM_UP_BATCH_SIZE))
        logits = answer()
        if not torch.isfinite(logits).all() or differs_between_images(logits.numpy(), _TOO_ALIKE):
            return logits
    return answer()


@contextmanager
def _perturb(network: nn.Module) -> Iterator[Callable[[], None]]:
    """Add noise of a tenth of its size to every parameter, of 0.1 to zeros. Yields a function that restores them."""
    kept = [(parameter, parameter.detach().clone()) for parameter in network.parameters()]

    @torch.no_grad()
    def restore() -> None:
        for parameter, value in kept:
            parameter.copy_(value)

    with torch.no_grad():
        for parameter, value in kept:
            if value.numel() and (value.is_floating_point() or value.is_complex()):
                size = float(value.abs().square().mean().sqrt()) or 1.0
                parameter.add_(torch.randn_like(value), alpha=size * _PERTURBATION)
    try:
        yield restore
    finally:
        restore()


def _independence(compared: Comparison) -> Iterator[Finding]:
    # As in the scoring, rounding may flip a hard decision inside a network for one example.
    if not compared.agrees:
        yield Finding(
            FailureKind.BATCH_LEAKAGE,
            f"the same image alone and in two batches: {compared}; nothing may mix along the first dimension "
            "(nn.MultiheadAttention needs batch_first=True, batch norm its running statistics)",
        )


def _memory(before: State, after: State) -> Iterator[Finding]:
    if names := changed_tensors(before, after):
        yield Finding(
            FailureKind.INTEGRITY,
            f"{_format_names(names)} changes in evaluation mode; write to buffers under `if self.training` only",
        )
    if names := grown(before, after):
        yield Finding(
            FailureKind.INTEGRITY, f"{_format_names(names)} grows with every batch; keep nothing between batches"
        )
    if names := changed_numbers(before, after):
        yield Finding(
            FailureKind.INTEGRITY, f"{_format_names(names)} counts batches in evaluation mode", is_fault=False
        )


def _dependence(network: nn.Module, images: Tensor, logits: Tensor) -> Iterator[Finding]:
    if differs_between_images(logits.numpy(), _TOO_ALIKE):
        return
    if _is_constant(network, images) and not differs_between_images(logits.numpy()):
        yield Finding(FailureKind.INTEGRITY, SAME_FOR_ALL)
    else:
        yield Finding(
            FailureKind.INTEGRITY,
            f"{UNDECIDED}: before training the logits differ between images by less than {_TOO_ALIKE:g} of their size; "
            "the trained network is judged",
            is_fault=False,
        )


def _is_constant(network: nn.Module, inputs: Tensor) -> bool:
    """Whether no gradient reaches the inputs; False for integers, which have none."""
    if not inputs.is_floating_point():
        return False
    inputs = inputs.clone().requires_grad_()
    output = network(inputs)
    gradient = torch.autograd.grad(output.sum(), inputs, allow_unused=True)[0] if output.requires_grad else None
    return gradient is None or not bool(gradient.any())


def _compare(one: Tensor, other: Tensor) -> Comparison:
    return compare(one.numpy(), other.numpy())


def _equal(one: object, other: object) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return one is None and other is None
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _format_names(names: Sequence[str]) -> str:
    """The first names, shortened, and the number of the others."""
    shown = ", ".join(name[:_MAX_NAME_CHARACTERS] for name in names[:_MAX_NAMES])
    return shown if len(names) <= _MAX_NAMES else f"{shown} and {len(names) - _MAX_NAMES} more"
