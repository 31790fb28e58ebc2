"""Training recipes. Accuracies under different recipes are never compared."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

Precision = Literal["float32", "bfloat16"]

_MAX_HOPELESS_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training protocol (paper Table 4) and everything else that changes its results.

    ``learning_rate`` falls to ``final_learning_rate`` along a cosine, step by step. ``crop_padding`` 0 and
    ``flip_probability`` 0 switch augmentation off. ``task_digest`` identifies data, split and image size;
    ``environment`` identifies torch version, kind of device and threads per job.

    ``precision`` applies to forward and backward passes in training; ``bfloat16`` is mixed precision with float32
    weights. ``compiled`` trains with ``torch.compile``. After epoch ``hopeless_after``, :meth:`is_hopeless` may end a
    training; 0: never.
    """

    name: str
    num_epochs: int
    batch_size: int
    learning_rate: float
    final_learning_rate: float = 0.0
    warmup_epochs: int = 0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    flip_probability: float = 0.5
    crop_padding: int = 4
    task_digest: str = ""
    environment: str = ""
    precision: Precision = "float32"
    compiled: bool = False
    hopeless_after: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type == "float":
                object.__setattr__(self, field.name, float(getattr(self, field.name)))

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with every field."""
        return hashlib.sha256(json.dumps(self._decisive, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def _decisive(self) -> dict[str, object]:
        # Newer fields count only if they are set, so that digests of older runs do not change.
        unused = {name for name, unset in _LATER.items() if getattr(self, name) == unset}
        return {name: value for name, value in asdict(self).items() if name not in unused}

    def is_hopeless(self, train_loss: Sequence[float], num_classes: int) -> bool:
        """Whether to end a training that has not started to learn.

        True after ``hopeless_after`` epochs, before the last, if no epoch had a mean loss more than 1% below the loss
        of guessing, which is the logarithm of the number of classes.
        """
        if not 0 < self.hopeless_after <= len(train_loss) < self.num_epochs:
            return False
        return min(train_loss) > _MAX_HOPELESS_SHARE * math.log(num_classes)


_LATER: dict[str, object] = {"precision": "float32", "compiled": False, "hopeless_after": 0}

RECIPES = {
    "nasbench201": Recipe(name="nasbench201", num_epochs=200, batch_size=256, learning_rate=0.1),
    "nasbench201-12": Recipe(name="nasbench201-12", num_epochs=12, batch_size=256, learning_rate=0.1),
    "quick": Recipe(name="quick", num_epochs=20, batch_size=32, learning_rate=0.1, warmup_epochs=1, hopeless_after=10),
}
"""``nasbench201`` is Table 4. ``nasbench201-12`` has the same schedule in 12 epochs, for screening. ``quick`` is for
searches of minutes; it stops a training that has learned nothing after half of its epochs."""
