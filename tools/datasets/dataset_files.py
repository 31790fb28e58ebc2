"""Reads files of image data sets as numpy arrays; a malformed file raises a :class:`TaskError` that names it."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import TaskError

_BYTES_TYPE = 0x08
"""The code for unsigned bytes, the only element type of the MNIST family."""


def find_idx(folder: Path, name: str) -> Path | None:
    """The idx file of that name, plain or as ``.gz``; ``None`` if the folder has neither."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file, uint8 in the file's shape.

    Raises:
        TaskError: the file cannot be read, is not an idx file of bytes, or has another size than its header states.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read ({error}); download it again") from error
    num_dimensions = content[3] if len(content) > 3 else 0
    start = 4 + 4 * num_dimensions
    if content[:3] != bytes([0, 0, _BYTES_TYPE]) or len(content) < start:
        raise TaskError(f"{path} is not an idx file of unsigned bytes; download it again")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", num_dimensions, 4))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise TaskError(f"{path} should contain {expected} bytes, found {len(content)}; download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_batch(path: Path, *, side: int, labels: str = "labels") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 (N, 3, side, side) and labels int64 (N,) of a batch of the CIFAR family, a pickle of a dictionary.

    Args:
        labels: the key of the labels.

    Raises:
        TaskError: the file cannot be read, contains other objects than arrays, or has another shape.
    """
    batch = _read_pickle(path)
    # CIFAR was written by Python 2 with keys as bytes, downsampled ImageNet by Python 3 with keys as text.
    entries = {_text(key): value for key, value in batch.items()} if isinstance(batch, dict) else {}
    images, numbers = _array(entries.get("data")), _whole_numbers(entries.get(labels))
    if images is None or images.dtype != np.uint8 or labels not in entries:
        raise TaskError(
            f"{path} should contain a dictionary with data, an array of bytes, and {labels}; download it again"
        )
    if numbers is None:
        raise TaskError(f"{path} should contain a list of whole numbers as {labels}; download it again")
    num_pixels = 3 * side**2
    if images.shape != (len(numbers), num_pixels):
        raise TaskError(
            f"{path} should contain {num_pixels} bytes per label, "
            f"found {images.shape} bytes and {len(numbers)} labels; download it again"
        )
    return images.reshape(-1, 3, side, side), numbers


def read_names(path: Path, key: str) -> tuple[str, ...]:
    """A list of names in a pickled dictionary; empty if the key is missing.

    Raises:
        TaskError: the file cannot be read, or contains other objects than plain data.
    """
    content = _read_pickle(path)
    entries = {_text(name): value for name, value in content.items()} if isinstance(content, dict) else {}
    names = entries.get(key)
    return tuple(str(_text(name)) for name in names) if isinstance(names, list) else ()


def md5_of(path: Path) -> str:
    """The MD5 digest of a file, as published with data sets."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _text(key: object) -> object:
    return key.decode("latin1") if isinstance(key, bytes) else key


def _array(value: object) -> NDArray[Any] | None:
    return value.array if isinstance(value, _PickledArray) else None


def _whole_numbers(value: object) -> NDArray[np.int64] | None:
    array = _array(value)
    if array is not None and array.ndim == 1:
        return array.astype(np.int64)
    if isinstance(value, list) and all(type(number) is int and abs(number) < 2**31 for number in value):
        return np.array(value, np.int64)
    return None


_DAMAGED_PICKLE = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)
"""Exceptions that damaged pickles raise; they are not documented."""


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="bytes").load()
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); download it again") from error
    except _DAMAGED_PICKLE as error:
        raise TaskError(f"{path} is damaged ({error}); download it again") from error


_ELEMENT_CODES = frozenset({"u1", "i2", "i4", "i8"})
_BYTE_ORDERS = frozenset({"<", ">", "|"})


class _PickledType:
    """Replaces numpy's dtype while a pickle is read; ``name`` is empty for types that no data set uses."""

    def __init__(self, code: object, *_flags: object) -> None:
        self._code = _text(code)
        self.name = ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = _text(state[1])
        if self._code in _ELEMENT_CODES and order in _BYTE_ORDERS:
            self.name = f"{order}{self._code}"


class _PickledArray:
    """Replaces numpy's array while a pickle is read: numpy crashes on a bad pickled state.

    ``array`` is ``None`` if the elements are not integers, as in the mean image of some batches.
    """

    def __init__(self, *_arguments: object) -> None:
        self.array: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, element_type, is_fortran, content = state
        if isinstance(element_type, _PickledType) and element_type.name and isinstance(content, bytes):
            elements = np.frombuffer(content, element_type.name)
            self.array = elements.reshape(shape, order="F" if is_fortran else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """Replaces ``_codecs.encode``, which Python 3 uses for bytes in the pickle format of Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it requires the encoding {encoding}")
    return text.encode("latin1")


class _ArrayUnpickler(pickle.Unpickler):
    """Builds integer arrays and plain data; refuses every other object before it is called."""

    _STAND_INS: ClassVar[dict[tuple[str, str], Callable[..., object]]] = {
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledType,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self._STAND_INS:
            raise pickle.UnpicklingError(f"it requires {module_name}.{global_name}")
        return self._STAND_INS[module_name, global_name]
