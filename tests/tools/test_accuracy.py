"""The lab's numbers, without a sandbox."""

from __future__ import annotations

import numpy as np

from tools.scoring import accuracy_of


def test_a_row_with_a_nan_is_wrong():
    logits = np.array([[0.0, 1.0], [1.0, 0.0], [np.nan, 0.0], [0.0, np.nan], [np.inf, 0.0]], np.float32)
    assert accuracy_of(logits, np.array([1, 1, 0, 1, 0])) == 2 / 5
