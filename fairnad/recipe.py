"""How a candidate is trained. Accuracies under different recipes are never compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training protocol (paper Table 4) together with all that decides its outcome.

    ``learning_rate`` falls to ``final_learning_rate`` along a cosine, step by step. ``crop_padding`` 0 and
    ``flip_probability`` 0 switch the augmentation off. ``task_digest`` names the data, the split and the image
    size; ``environment`` names what else changes numbers (torch version, device kind, threads a job).
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

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type == "float":
                object.__setattr__(self, field.name, float(getattr(self, field.name)))

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change whenever any field does."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


RECIPES = {
    "nasbench201": Recipe(name="nasbench201", num_epochs=200, batch_size=256, learning_rate=0.1),
    "nasbench201-12": Recipe(name="nasbench201-12", num_epochs=12, batch_size=256, learning_rate=0.1),
    "quick": Recipe(name="quick", num_epochs=20, batch_size=32, learning_rate=0.1, warmup_epochs=1),
}
"""``nasbench201`` is Table 4, ``nasbench201-12`` the same schedule in 12 epochs, a 17th of the cost, for screening;
``quick`` is for searches that must end in minutes."""
