import json
import re

import pytest

from fairnad.domain.contract import Contract

TOKENS = Contract("integer", (16,), ("position",), (16, 50), ("position", "token"), num_values=50)
CONTRACTS = pytest.mark.parametrize("contract", [Contract.for_images(8, 10), TOKENS], ids=["images", "tokens"])


@CONTRACTS
def test_a_contract_survives_json(contract):
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract


def test_sizes_are_those_of_one_example():
    images = Contract.for_images(8, 10, num_channels=1)
    assert (images.num_classes, images.num_inputs, images.num_outputs) == (10, 64, 10)
    assert (TOKENS.num_classes, TOKENS.num_inputs, TOKENS.num_outputs) == (50, 16, 800)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_shape": (3, 8)}, "expected a size above 0 for each axis of the input, found (3, 8) for ('channel', "),
        ({"output_shape": (0,)}, "expected a size above 0 for each axis of the output, found (0,) for ('class',)"),
        ({"input_kind": "integer"}, "expected float inputs, or integer inputs with their number of values, found int"),
        ({"num_values": 5}, "with their number of values, found float with 5"),
    ],
)
def test_what_is_no_contract_is_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Contract.from_json(Contract.for_images(8, 10).to_json() | changes)
