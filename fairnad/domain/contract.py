"""The contract of a task: what a network takes and what it returns, as data that jobs get as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class Contract:
    """Input and output of a ``Network``, per example: the batch dimension comes first and is left out here.

    ``num_values`` is the number of values of ``integer`` inputs, which lie in [0, num_values); 0 for ``float`` inputs.
    Outputs are floating point.

    Raises:
        ValueError: an axis has no name or no size, or the range does not fit the kind.
    """

    input_kind: Literal["float", "integer"]
    input_shape: tuple[int, ...]
    input_axes: tuple[str, ...]
    output_shape: tuple[int, ...]
    output_axes: tuple[str, ...]
    num_values: int = 0

    def __post_init__(self) -> None:
        for name in ("input_shape", "input_axes", "output_shape", "output_axes"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for what, shape, axes in (
            ("input", self.input_shape, self.input_axes),
            ("output", self.output_shape, self.output_axes),
        ):
            if len(shape) != len(axes) or min(shape, default=0) < 1:
                raise ValueError(f"expected a size above 0 for each axis of the {what}, found {shape} for {axes}")
        if self.input_kind not in ("float", "integer") or (self.num_values > 0) != (self.input_kind == "integer"):
            raise ValueError(
                f"expected float inputs, or integer inputs with their number of values, found {self.input_kind} "
                f"with {self.num_values}"
            )

    @classmethod
    def for_images(cls, image_size: int, num_classes: int, num_channels: int = 3) -> Self:
        """Classification of normalised square images, ``image_size`` pixels a side."""
        return cls(
            input_kind="float",
            input_shape=(num_channels, image_size, image_size),
            input_axes=("channel", "height", "width"),
            output_shape=(num_classes,),
            output_axes=("class",),
        )

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(**content)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON data."""
        return asdict(self)

    @property
    def num_classes(self) -> int:
        """The argument of ``Network(num_classes=…)``: the size of the last axis of the output."""
        return self.output_shape[-1]

    @property
    def num_inputs(self) -> int:
        """Input elements of one example."""
        return prod(self.input_shape)

    @property
    def num_outputs(self) -> int:
        """Output elements of one example."""
        return prod(self.output_shape)
