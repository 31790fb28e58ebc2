from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.embedder import HashedEmbedder

ROOT = Path(__file__).parents[2]


def test_there_is_one_vector_of_length_1_a_text() -> None:
    vectors = HashedEmbedder(64)(["Add a shortcut.", "Use grouped convolutions.", "ÄÖÜ"])
    assert (vectors.shape, vectors.dtype) == ((3, 64), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_no_texts_give_no_vectors_and_an_empty_text_a_vector_of_zeros() -> None:
    embed = HashedEmbedder()
    assert embed([]).shape == (0, 256)
    assert not embed(["", "  "]).any()


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_every_text_has_a_finite_vector_that_depends_on_it_alone(texts: list[str]) -> None:
    embed = HashedEmbedder(32)
    together = embed(texts)
    assert np.isfinite(together).all()
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(embed([text])[0], vector)


def test_another_process_gives_the_same_vectors() -> None:
    text = "Mix channels with a pointwise perceptron."
    program = f"from tools.embedder import HashedEmbedder; print(HashedEmbedder()([{text!r}]).tobytes().hex())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert bytes.fromhex(done.stdout) == HashedEmbedder()([text]).tobytes()


def test_texts_that_share_words_or_stems_are_closer_than_others() -> None:
    query, same_words, same_stem, other = HashedEmbedder()(
        [
            "depthwise convolution with a large kernel",
            "a large kernel in the depthwise convolution of every block",
            "kernels of convolutions, enlarged",
            "average the tokens of a window before attention",
        ]
    )
    assert query @ same_words > query @ same_stem > query @ other
    assert query @ same_words > 0.5


def test_the_name_tells_dimensions_apart() -> None:
    assert HashedEmbedder(64).name != HashedEmbedder(256).name
    assert HashedEmbedder(64).dimension == 64


def test_a_dimension_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a dimension of at least 1, found 0"):
        HashedEmbedder(0)


def test_importing_it_loads_no_library_that_is_slow_to_load() -> None:
    program = "import sys, tools.embedder; print([m for m in ('sklearn', 'scipy', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
