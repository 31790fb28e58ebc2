"""When two answers to the same images are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tools.agreement import FLOAT32, MIXED_PRECISION, compare

LOGITS = np.random.default_rng(0).normal(size=(2000, 10)).astype(np.float32)


def moved(num_images: int, by: float) -> np.ndarray:
    changed = LOGITS.copy()
    changed[:num_images] += by
    return changed


def test_rounding_is_no_difference():
    rounded = compare(LOGITS, LOGITS * (1 + 1e-6))
    assert rounded.is_same and rounded.agrees


@pytest.mark.parametrize(("by", "is_same"), [(0.8e-3, True), (1.2e-3, False)])
def test_a_logit_may_be_off_by_a_thousandth_of_the_deviation(by, is_same):
    assert compare(LOGITS, moved(1, by * LOGITS.std(axis=0).max())).is_same == is_same


def test_a_large_constant_hides_nothing():
    shifted = LOGITS + np.float32(100)
    assert not compare(shifted, moved(1, 0.1) + np.float32(100)).is_same


def test_one_image_in_a_thousand_may_tip():
    assert compare(LOGITS, moved(2, 1.0)).agrees
    assert not compare(LOGITS, moved(3, 1.0)).agrees
    assert compare(LOGITS[:50], moved(1, 1.0)[:50]).agrees
    assert not compare(LOGITS[:50], moved(2, 1.0)[:50]).agrees


def test_another_class_counts_even_where_the_logits_are_close():
    one = np.zeros((50, 2), np.float32)
    one[:, 0] = 1e-9
    one[0] = 5
    other = one[:, ::-1].copy()
    found = compare(one, other)
    assert found.num_moved == 0 and found.num_flipped == 49
    assert not found.agrees


def test_half_precision_is_judged_more_kindly():
    assert compare(LOGITS, moved(2000, 0.02), MIXED_PRECISION).num_moved == 0
    assert compare(LOGITS, moved(2000, 0.02), FLOAT32).num_moved == 2000


def test_what_is_no_number_agrees_with_itself_alone():
    broken = LOGITS.copy()
    broken[0, 0], broken[1, 1] = np.nan, np.inf
    assert compare(broken, broken.copy()).is_same
    assert compare(broken, LOGITS).num_moved == 2
    assert "an infinite part" in str(compare(broken, LOGITS))


def test_it_is_told_in_a_line():
    assert str(compare(LOGITS, moved(3, 1.0))) == (
        "3 of 2000 images off by up to 0.98 of the logits' deviation, 0 with another class"
    )


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.floats(width=32)))
def test_every_answer_agrees_with_itself(logits):
    assert compare(logits, logits.copy()).is_same
