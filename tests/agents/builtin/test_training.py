"""Networks made by every transformation learn: the loss falls within a few steps."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.builtin.catalogue import Transformation
from agents.builtin.source_editor import SourceEditor
from tests.agents.builtin.networks import COMPREHENSIONS, TRANSFORMATIONS, build

_generator = torch.Generator().manual_seed(0)
LABELS = torch.arange(20) % 10
IMAGES = torch.randn(10, 3, 8, 8, generator=_generator)[LABELS] + 0.5 * torch.randn(20, 3, 8, 8, generator=_generator)
NETWORK = COMPREHENSIONS.replace("depths = (2, 3, 2)", "depths = (1, 2, 1)")
NUM_STEPS = 12


@pytest.mark.parametrize("found", TRANSFORMATIONS, ids=lambda found: found.name)
def test_the_loss_falls(found: Transformation) -> None:
    editor = SourceEditor(NETWORK, np.random.default_rng(0))
    for target in sorted(found.targets):
        if found.apply(editor, target):
            break
    network = build(editor.source).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    losses = []
    for step in range(NUM_STEPS):
        optimizer.param_groups[0]["lr"] = 0.1 * min(1.0, (step + 1) / 4)
        loss = F.cross_entropy(network(IMAGES), LABELS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert all(np.isfinite(losses))
    assert np.mean(losses[-3:]) < 0.75 * losses[0]
