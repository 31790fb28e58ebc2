"""Jobs that export a trained network and test the exported files, each in an own process.

``export`` writes a network as ONNX, ``infer`` runs an ONNX file without torch, and ``try_out`` runs the program of a
result folder.
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fairnad.domain.contract import Contract
from fairnad.records.candidate import FailureKind
from tools.jobs import trainer
from tools.jobs.deliveries import deliver
from tools.jobs.network_source import SourceError, build_network, example_inputs
from tools.sandbox.job import LOGITS_FILE, ONNX_FILE, PROBABILITIES_FILE, WEIGHTS_FILE

INPUT_NAME = "images"
OUTPUT_NAME = "logits"


def export(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write a network with trained weights as ONNX: normalised float32 images (N, C, H, W) to logits (N, classes).

    Args:
        request: ``contract`` and ``seed``, as for the training.

    Returns:
        ``any_batch``: whether N is dynamic; otherwise it is 1.

    Raises:
        SourceError: torch cannot export it.
    """
    contract = Contract.from_json(request["contract"])
    network = build_network(source, contract, request["seed"])
    trainer.load_weights(network, Path(WEIGHTS_FILE).read_bytes())
    network.eval()
    program = _export_onnx(network, example_inputs(contract, 2), {0: torch.export.Dim("N")})
    # The exporter does not report that it had to make the batch size a constant.
    any_batch = not isinstance(program, str) and not isinstance(program.model.graph.inputs[0].shape[0], int)
    if not any_batch:
        program = _export_onnx(network, example_inputs(contract, 1), None)
    if isinstance(program, str):
        raise SourceError(FailureKind.RUNTIME, program)
    deliver(ONNX_FILE, program.model_proto.SerializeToString())
    return {"any_batch": any_batch}


def _export_onnx(network: nn.Module, images: torch.Tensor, dynamic: Mapping[int, Any] | None) -> Any:
    """An ``ONNXProgram``, or why the export failed."""
    try:
        return torch.onnx.export(
            network,
            (images,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=(dynamic,),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        # The exporter's own message is a page of advice; the first line of its cause names the error.
        return str(error.__cause__ or error).strip().split("\n")[0]


def infer(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run an ONNX file on images and deliver its logits, float32 (N, num_classes).

    Args:
        source: not used.
        request: ``images`` (path of a ``.npy`` file, uint8), ``mean``, ``std`` and ``batch_size``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(ONNX_FILE, options, providers=["CPUExecutionProvider"])
    images = _normalise(np.load(request["images"], allow_pickle=False), request["mean"], request["std"])
    size = request["batch_size"]
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    logits = np.concatenate([session.run([OUTPUT_NAME], {INPUT_NAME: batch})[0] for batch in batches])
    deliver(LOGITS_FILE, logits.astype("<f4").tobytes())
    return {}


def _normalise(images: NDArray[np.uint8], mean: list[float], std: list[float]) -> NDArray[np.float32]:
    shift, scale = (np.array(values).reshape(1, -1, 1, 1) for values in (mean, std))
    normalised: NDArray[np.float64] = (images / 255 - shift) / scale
    return normalised.astype(np.float32)


def try_out(source: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the program of a result folder on image files and deliver its probabilities, float32 (N, classes).

    Args:
        source: not used.
        request: ``program``, ``images`` (names of files beside it) and ``class_names``.

    Raises:
        SourceError: the program ends with an error.
    """
    output = io.StringIO()
    sys.argv = [request["program"], "--json", *request["images"]]
    with contextlib.redirect_stdout(output):
        try:
            runpy.run_path(request["program"], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise SourceError(FailureKind.RUNTIME, f"it ended with exit status {end.code}") from end
    rows = [
        {one["label"]: one["probability"] for one in image["predictions"]} for image in json.loads(output.getvalue())
    ]
    table = np.array([[row[name] for name in request["class_names"]] for row in rows], dtype="<f4")
    deliver(PROBABILITIES_FILE, table.tobytes())
    return {}
