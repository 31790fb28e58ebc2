"""Numbers as people write them in settings: with k, M or G."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

_SCALE = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def parse_quantity(value: Any) -> Any:
    """``"1.5M"`` as 1500000.0; numbers and unknown forms pass through, for pydantic to judge.

    Raises:
        ValueError: text that is no number with an optional k, M or G.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([kmg]?)\s*", value, re.IGNORECASE)
    if match is None:
        raise ValueError(f"expected a number such as 1500000, 1.5M or 0.2G, found {value!r}")
    return float(Decimal(match[1]) * _SCALE[match[2].lower()])


Quantity = Annotated[float, BeforeValidator(parse_quantity), Field(gt=0)]
