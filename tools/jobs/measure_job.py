"""The measure job: latency and activation memory of one example (paper §4.3.2).

Both are measured in evaluation mode and without gradients.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from fairnad.domain.contract import Contract
from tools.jobs.network_source import build_network, example_inputs
from tools.jobs.operator_trace import tensors_in

_NUM_WARM_UPS = 5
_MIN_RUNS = 20
_MAX_RUNS = 200
_SECONDS = 1.0
"""Minimum duration of the runs, unless the maximum number is reached before."""


def measure(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Measure a source on the device of the request.

    Args:
        request: ``contract``, ``seed`` and ``device``.

    Returns:
        ``latency_ms``: median milliseconds of a forward pass. ``activation_bytes``: peak bytes of intermediate
        results, without the input and the network's own tensors.
    """
    contract, device = Contract.from_json(request["contract"]), request["device"]
    network = build_network(source, contract, request["seed"])
    network.eval().to(device)
    image = example_inputs(contract, 1, device=device)
    with torch.no_grad():
        return {"latency_ms": latency_ms(network, image), "activation_bytes": activation_bytes(network, image)}


def latency_ms(network: nn.Module, image: Tensor) -> float:
    """The median time of a forward pass in milliseconds, after a warm-up."""
    wait: Callable[[], None] = torch.cuda.synchronize if image.is_cuda else lambda: None
    for _ in range(_NUM_WARM_UPS):
        network(image)
    wait()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _MIN_RUNS or (len(times) < _MAX_RUNS and time.perf_counter() - began < _SECONDS):
        start = time.perf_counter()
        network(image)
        wait()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def activation_bytes(network: nn.Module, image: Tensor) -> int:
    """Peak bytes of results that are alive at once during a forward pass, without workspaces inside operators."""
    own = [*network.parameters(), *network.buffers(), image]
    meter = _ActivationMeter(own)
    with meter:
        network(image)
    return meter.peak_bytes


class _ActivationMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the memory of every tensor that an operator returns."""

    def __init__(self, own: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes: int = 0
        self._own = {tensor.untyped_storage()._cdata for tensor in own}
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}  # type: ignore[no-untyped-call]
        for tensor in tensors_in(result):
            storage = tensor.untyped_storage()
            if storage._cdata not in self._own:
                self._alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]
        self.peak_bytes = max(self.peak_bytes, sum(num_bytes for _, num_bytes in self._alive.values()))
        return result
