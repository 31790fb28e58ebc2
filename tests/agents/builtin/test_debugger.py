import re

import pytest

from agents.builtin.debugger import BuiltinDebugger
from fairnad.ports import CallContext, DebugRequest, Model, Proposal
from fairnad.records.candidate import Failure, FailureKind, Step
from tests.agents.builtin.checked import failure_of
from tests.agents.builtin.networks import BOTTLENECKS, COMPREHENSIONS, RESNET, run
from tools.jobs import source_policy
from tools.jobs.network_source import SourceError, complaint


async def debug(failed: str, failure: Failure, parent: str = RESNET) -> Proposal | Failure:
    request = DebugRequest(CallContext("g01-fair-r1-s00-d0", 1, 0), "the prompt", failed, failure, Model(parent))
    return await BuiltinDebugger().debug(request)


async def mend(failed: str, parent: str = RESNET, times: int = 1, side: int = 16) -> Proposal:
    """Debug a source as often as it takes, at most ``times``, and run the result."""
    for _ in range(times):
        answer = await debug(failed, failure_of(failed, side), parent)
        assert isinstance(answer, Proposal), answer
        failed = answer.source
    run(failed, train_side=side)
    return answer


MLP_BLOCK = """
class Mixer(nn.Module):
    def __init__(self, channels):
        super().__init__()
        LAYERS

    def forward(self, x):
        FORWARD


class Network"""


def with_mixer(layers: str, forward: str, base: str = RESNET) -> str:
    """The base with a faulty module behind its last stage."""
    indent = "\n        "
    text = MLP_BLOCK.replace("LAYERS", layers.replace("\n", indent)).replace("FORWARD", forward.replace("\n", indent))
    source = base.replace("\nclass Network", text, 1)
    source = source.replace("        self.pool =", "        self.mixer = Mixer(64)\n        self.pool =")
    return source.replace("x = self.layers3(x)", "x = self.mixer(self.layers3(x))")


async def test_a_missing_import_is_added() -> None:
    answer = await mend(BOTTLENECKS.replace("import torch.nn.functional as F\n", ""))

    assert answer.note == "added import of F"
    assert answer.prompt == "the prompt"


async def test_several_missing_imports_take_several_debugs() -> None:
    source = COMPREHENSIONS.replace("from torch.nn import functional as F\n", "")
    await mend(source.replace("[8, 12, 16]", "[8, math.gcd(12, 24), 16]").replace("import torch\n", ""), times=2)


async def test_a_class_that_was_left_out_comes_back_from_the_parent() -> None:
    answer = await mend(re.sub(r"class DownsampleBlock.*?(?=class BaseBlock)", "", RESNET, flags=re.DOTALL))

    assert answer.note == "copied class DownsampleBlock from the parent"


async def test_an_import_of_a_module_that_does_not_exist_is_left_out() -> None:
    answer = await mend("import no_such_package.layers\n" + COMPREHENSIONS, COMPREHENSIONS)

    assert answer.note == "removed import of no_such_package"


@pytest.mark.parametrize(
    "wrap",
    [
        "Here is the model:\n\n```python\n{}```\n\nIt has more layers.",
        "```\n{}```",
        "Here is the improved model.\n\n{}\nThis model is better because of its gates.\n",
        "{}\n```\n",
    ],
)
async def test_text_around_the_code_is_left_out(wrap: str) -> None:
    failed = wrap.format(RESNET)

    answer = await mend(failed)

    assert answer.note == "removed the text around the code"
    assert answer.source.strip() == RESNET.strip()


async def test_a_source_that_does_not_parse_at_all_is_not_applicable() -> None:
    failed = "class Network(nn.Module:\n    pass\n"

    answer = await debug(failed, failure_of(failed))

    assert answer == Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "the source does not parse")


async def test_the_last_module_becomes_the_network_where_none_is_called_so() -> None:
    answer = await mend(RESNET.replace("class Network", "class BetterResNet"))

    assert answer.note == "added Network(num_classes)"


@pytest.mark.parametrize("parameters", ["self", "self, n_classes=10", "self, width=16"])
async def test_the_number_of_classes_becomes_a_parameter(parameters: str) -> None:
    name = "n_classes" if "n_classes" in parameters else "10"
    failed = RESNET.replace("self, num_classes=10", parameters).replace("num_classes)", f"{name})")

    answer = await mend(failed)

    assert "num_classes" in answer.source
    assert "nn.Linear(64, num_classes)" in answer.source


@pytest.mark.parametrize("parameters", ["self, width, depth", ""])
async def test_a_network_that_needs_more_than_the_number_of_classes_is_left_alone(parameters: str) -> None:
    failed = RESNET.replace("self, num_classes=10", parameters).replace("num_classes)", "10)")

    answer = await debug(failed, failure_of(failed))

    assert isinstance(answer, Failure)
    assert answer.kind is FailureKind.NOT_APPLICABLE


async def test_a_shortcut_of_another_width_is_projected() -> None:
    failed = BOTTLENECKS.replace("out += self.shortcut(x)", "out += x")

    answer = await mend(failed, BOTTLENECKS)

    assert answer.note == "added a projection to the shortcut of Bottleneck"


async def test_heads_come_to_divide_the_width() -> None:
    layers = "self.attention = nn.MultiheadAttention(channels, 5, batch_first=True)"
    forward = "tokens = x.flatten(2).transpose(1, 2)\ntokens = self.attention(tokens, tokens, tokens)[0]\n"
    forward += "return tokens.transpose(1, 2).reshape(x.shape)"

    answer = await mend(with_mixer(layers, forward))

    assert answer.note == "made groups and heads divide the width"
    assert "nn.MultiheadAttention(channels, math.gcd(channels, 5), batch_first=True)" in answer.source


@pytest.mark.parametrize(
    "layer", ["nn.Conv2d(channels, channels, 3, padding=1, groups=3)", "nn.GroupNorm(6, channels)"]
)
async def test_groups_come_to_divide_the_width(layer: str) -> None:
    await mend(with_mixer(f"self.layer = {layer}", "return self.layer(x)"))


@pytest.mark.parametrize("layer", ["nn.BatchNorm1d(channels)", "nn.LayerNorm(channels)"])
async def test_normalization_comes_to_take_maps(layer: str) -> None:
    await mend(with_mixer(f"self.norm = {layer}", "return self.norm(x)"))


async def test_a_map_that_becomes_too_small_is_kept_larger() -> None:
    failed = COMPREHENSIONS.replace("x.mean(dim=(2, 3))", "F.max_pool2d(x, 4).mean(dim=(2, 3))")

    answer = await mend(failed, COMPREHENSIONS, side=8)

    assert answer.note == "set the stride of layers3 to 1"


@pytest.mark.parametrize("kind", [FailureKind.MEMORY, FailureKind.TIMEOUT])
async def test_repeats_are_halved_where_it_is_too_large(kind: FailureKind) -> None:
    deep = RESNET.replace("repeats=2", "repeats=9")

    answer = await debug(deep, Failure(Step.EXECUTE, kind, "too much"))

    assert isinstance(answer, Proposal)
    assert answer.source == RESNET.replace("repeats=2", "repeats=4")


async def test_a_missing_return_is_added() -> None:
    answer = await mend(with_mixer("self.norm = nn.BatchNorm2d(channels)", "out = self.norm(x)"))

    assert answer.note == "added return to Mixer"


async def test_the_head_takes_as_many_features_as_there_are() -> None:
    answer = await mend(RESNET.replace("nn.Linear(64, num_classes)", "nn.Linear(128, num_classes)"))

    assert answer.note == "set the inputs of the head to 64"
    assert "nn.Linear(64, num_classes)" in answer.source


async def test_nothing_is_written_in_place_where_gradients_need_it() -> None:
    forward = "out = torch.sigmoid(x)\nout *= 2\nreturn out"

    answer = await mend(with_mixer("self.norm = nn.BatchNorm2d(channels)", forward))

    assert "out = out * (2)" in answer.source


async def test_views_of_scattered_memory_are_reshaped() -> None:
    forward = "return x.permute(0, 2, 3, 1).view(x.shape[0], -1).view(x.shape)"

    answer = await mend(with_mixer("self.norm = nn.BatchNorm2d(channels)", forward))

    assert ".view(" not in answer.source


async def test_the_parent_s_init_is_called() -> None:
    failed = with_mixer("self.norm = nn.BatchNorm2d(channels)", "return self.norm(x)")
    head, mixer = failed.split("class Mixer")

    answer = await mend(f"{head}class Mixer{mixer.replace('super().__init__()', 'pass', 1)}")

    assert answer.note == "added super().__init__() to Mixer"


async def test_nothing_is_moved_to_a_device() -> None:
    failed = with_mixer("self.norm = nn.BatchNorm2d(channels)", 'return self.norm(x.cuda()).to("cuda")')
    failure = Failure(Step.EXECUTE, FailureKind.RUNTIME, "RuntimeError: Found no NVIDIA driver on your system")

    answer = await debug(failed, failure)

    assert isinstance(answer, Proposal)
    assert "return self.norm(x)\n" in answer.source
    run(answer.source)


async def test_an_unknown_failure_is_not_applicable() -> None:
    answer = await debug(RESNET, Failure(Step.EXECUTE, FailureKind.RUNTIME, "KeyError: 'gate'"))

    assert answer == Failure(Step.DEBUG, FailureKind.NOT_APPLICABLE, "no known repair for this failure")


async def test_what_the_policy_refuses_outside_of_classes_is_left_out() -> None:
    failed = "import os\n" + RESNET + "\n\ntorch.manual_seed(0)\n"
    with pytest.raises(SourceError) as caught:
        source_policy.enforce(failed)
    found = complaint(caught.value)

    answer = await debug(failed, Failure(Step.EXECUTE, found.kind, found.message, found.log_tail))

    assert isinstance(answer, Proposal)
    assert answer.note == "removed statements that the policy refuses"
    source_policy.enforce(answer.source)
    run(answer.source)
