"""Networks become ONNX files that say the same, or a reason why not; programs are tried out first."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
import pytest_asyncio

from fairnad.records.candidate import Failure
from tests.tools.quadrants import NETWORK, RECIPE
from tools.exporter import Onnx, TrainedNetwork

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = 4


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def network(lab):
    """A trained network, whose program is tried out."""
    return await train(lab, NETWORK)


async def train(lab, source):
    trained = await lab.retrain(source, seed=SEED, recipe=RECIPE)
    return TrainedNetwork(source, trained.weights, SEED)


# Without the branch on the number of images that the other tests of the lab need.
PLAIN = NETWORK.replace("and len(x) > 40", "")


async def export(lab, source):
    return await lab.exporter.to_onnx(await train(lab, source))


def before_head(line):
    return NETWORK.replace("return self.head", f"{line}\n        return self.head")


def forged(what):
    """A network that is no longer itself in the export job."""
    build = "        super().__init__()\n"
    job = "os.path.exists('weights.bin') and 'batch_size' not in open('request.json').read()"
    return NETWORK.replace(build, f"{build}        if {job}:\n            {what}\n")


async def test_an_exported_network_is_compared_on_random_and_real_images(lab):
    onnx = await export(lab, PLAIN)
    assert isinstance(onnx, Onnx)
    assert onnx.any_batch
    assert onnx.num_images == 32
    assert 0 < onnx.max_difference < 1e-5
    session = onnxruntime.InferenceSession(onnx.content, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"images": np.zeros((3, 3, 8, 8), np.float32)})
    assert logits.shape == (3, 4)


async def test_a_network_that_counts_its_images_is_exported_for_one_image_at_a_time(lab):
    onnx = await export(lab, NETWORK)
    assert isinstance(onnx, Onnx)
    assert not onnx.any_batch
    assert onnx.max_difference < 1e-5


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            before_head("if x.mean() > 0: x = x + 1"),
            "Could not guard on",
        ),
        (
            before_head("if torch.compiler.is_exporting(): x = x + 1"),
            "its logits differ from torch's by up to ",
        ),
        (forged("os._exit(0)"), "ended without a complete report"),
        (
            forged("""os.remove('best.onnx'); open('report.json', 'w').write('{"result": {}}'); os._exit(0)"""),
            "best.onnx: expected up to ",
        ),
        (
            forged("""open('best.onnx', 'w'); open('report.json', 'w').write('{"result": {}}'); os._exit(0)"""),
            "left a malformed report",
        ),
        (
            forged(
                """open('best.onnx', 'w').write('junk'); """
                """open('report.json', 'w').write('{"result": {"any_batch": true}}'); os._exit(0)"""
            ),
            "InvalidProtobuf: ",
        ),
    ],
)
async def test_a_network_that_cannot_be_exported_says_why(lab, source, message):
    failure = await export(lab, source)
    assert isinstance(failure, Failure)
    assert failure.message.startswith(message)
    assert "\n" not in failure.message


def program(predictions):
    """A program that answers with an expression over its image files."""
    return f"import json, sys\nfiles = sys.argv[2:]\nprint(json.dumps({predictions}))\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (program("[{'predictions': [{'label': c, 'probability': 0} for c in 'abcd']} for _ in files]"), "its prob"),
        (
            program("[{'predictions': [{'label': c, 'probability': 0} for c in 'abc']} for _ in files]"),
            "KeyError: 'd'",
        ),
        (program("[]"), "probabilities.bin: expected 256 bytes, found: 0 bytes"),
        ("print('Hello.')", "JSONDecodeError: Expecting value"),
        ("raise SystemExit(3)", "it ended with exit status 3"),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
async def test_a_program_that_does_not_say_what_the_lab_says_is_found_out(lab, network, text, message):
    failure = await lab.exporter.try_out(network, "best.py", {"best.py": text.encode()})
    assert isinstance(failure, Failure)
    assert failure.message.startswith(message)


async def test_a_program_that_says_what_the_lab_says_passes(lab, network):
    honest = f"""
import json, sys
import numpy as np, torch
from PIL import Image
from safetensors.torch import load_file
{NETWORK}
torch.manual_seed({SEED})
network = Network(num_classes=4).eval()
network.load_state_dict(load_file("weights"))
told = []
for name in sys.argv[2:]:
    pixels = torch.tensor(np.asarray(Image.open(name))).permute(2, 0, 1)[None]
    odds = network((pixels / 255 - 0.3) / 0.2).softmax(1)[0].tolist()
    told.append({{"image": name, "predictions": [{{"label": c, "probability": p}} for c, p in zip("abcd", odds)]}})
print(json.dumps(told))
"""
    files = {"best.py": honest.encode(), "weights": network.weights, "labels.json": json.dumps({}).encode()}
    difference = await lab.exporter.try_out(network, "best.py", files)
    assert isinstance(difference, float)
    assert difference < 1e-5
