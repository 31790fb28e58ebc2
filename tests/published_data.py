"""Where published data sets lie on this machine, if anywhere; tests that need them are skipped elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_VARIABLE = "PUBLISHED_DATA"
_FOLDER = os.environ.get(_VARIABLE, "")

PUBLISHED = Path(_FOLDER)
"""With ``nasbench201/splits`` (the official split files), ``cifar10_mini/cifar-10-batches-py``, and
``papers/cvpr2023_main.jsonl`` (titles and abstracts) in it."""

needs_published = pytest.mark.skipif(not _FOLDER, reason=f"{_VARIABLE} names no folder of published data")
