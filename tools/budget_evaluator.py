"""Counts parameters and FLOPs of a network as in the paper (§5).

``python -m tools.budget_evaluator FILE`` counts those of a source in the sandbox. Counting itself runs inside a job,
where torch and fvcore are loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairnad import __version__
from fairnad.domain.contract import Contract
from fairnad.errors import BaseModelError, LabError, UserError
from fairnad.records.candidate import Failure
from fairnad.settings.search_settings import LabSettings
from tools.flop_formulas import FORMULAS, NO_PRODUCTS, Formula, complex_as_four
from tools.output import open_missing_streams, until_reader_leaves

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class FlopCount:
    """``total`` is the cost; ``products`` the part of convolutions, matrix products and attention."""

    total: int
    products: int


def count_params(network: nn.Module) -> int:
    """Elements of all parameters without buffers, shared ones once; a complex element counts twice."""
    return sum(parameter.numel() * (2 if parameter.is_complex() else 1) for parameter in network.parameters())


def count_buffers(network: nn.Module) -> int:
    """Elements of all buffers, shared ones once."""
    return sum(buffer.numel() for buffer in network.buffers())


def flop_count(network: nn.Module, example: Tensor) -> FlopCount:
    """Multiply-adds of one example, a batch of size 1: fvcore's count, in evaluation mode.

    Gradients are enabled and attention's fast path is off, since fused kernels hide their operators. Formulas are added
    for attention and recurrent layers, which fvcore lacks, and for contractions and products with a vector or
    broadcasting, which fvcore refuses or miscounts. A complex product counts four, a Fourier transform by
    :func:`tools.flop_formulas.transform_flops`, norm layers two per element. Operators without a formula, such as sums
    and activations, count nothing.
    """
    import torch

    with warnings.catch_warnings():
        # fvcore uses TorchScript, which is deprecated.
        for category in (FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", message=".*torch.jit", category=category)
        from fvcore.nn import FlopCountAnalysis

        torch.backends.mha.set_fastpath_enabled(False)
        was_training = network.training
        with torch.enable_grad():
            analysis = FlopCountAnalysis(network.eval(), example)
            for operator, flops_of in _formulas().items():
                analysis.set_op_handle(operator, flops_of)
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            by_operator = analysis.by_operator()
        network.train(was_training)
    total = sum(by_operator.values())
    return FlopCount(int(total), int(total - sum(by_operator[name] for name in NO_PRODUCTS)))


def _formulas() -> Mapping[str, Formula]:
    from fvcore.nn import jit_handles

    def convolution_flops(inputs: list[Any], outputs: list[Any]) -> float:
        return float(sum(jit_handles.conv_flop_jit(inputs, outputs).values()))

    fvcores: dict[str, Formula] = {
        "aten::addmm": jit_handles.addmm_flop_jit,
        "aten::bmm": jit_handles.bmm_flop_jit,
        "aten::mm": jit_handles.matmul_flop_jit,
        "aten::linear": jit_handles.linear_flop_jit,
        "aten::_convolution": convolution_flops,
    }
    return {**{name: complex_as_four(formula) for name, formula in fvcores.items()}, **FORMULAS}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit status 2: the file cannot be used, 1: the sandbox failed."""
    open_missing_streams()
    return until_reader_leaves(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.budget_evaluator", description="Parameters and FLOPs of a Network(num_classes) in a file."
    )
    parser.add_argument("--version", action="version", version=f"FairNAD {__version__}")
    parser.add_argument("file", type=Path, help="Python source that defines a class Network")
    parser.add_argument("--num-classes", type=_positive, default=10, help="classes the network tells apart")
    parser.add_argument("--image-size", type=_positive, default=32, help="side of the images in pixels")
    parser.add_argument("--json", action="store_true", help='print {"params": …, "flops": …} and nothing else')
    options = parser.parse_args(arguments)
    try:
        costs = asyncio.run(_measure(options.file, options.num_classes, options.image_size))
    except (UserError, LabError) as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
    params, flops = int(costs["params"]), int(costs["flops"])
    size = f"{options.image_size}×{options.image_size}"
    sentence = f"{options.file}: {params:,} parameters, {flops:,} multiply-adds for one image of {size} pixels"
    print(json.dumps({"params": params, "flops": flops}) if options.json else sentence)
    return 0


async def _measure(file: Path, num_classes: int, image_size: int) -> Mapping[str, float]:
    from tools.checks import lone_checker

    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BaseModelError(f"{file}: expected a Python source, but it cannot be read: {error}") from error
    async with lone_checker(LabSettings(), Contract.for_images(image_size, num_classes)) as checker:
        report = await checker.check(source)
    if isinstance(report, Failure):
        raise BaseModelError(f"{file}: {report.kind}: {report.message}")
    return report.costs


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
