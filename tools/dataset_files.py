"""Files of image data sets, read as numpy arrays; what is malformed ends in a :class:`TaskError` naming the file."""

from __future__ import annotations

import gzip
import pickle
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fairnad.errors import TaskError

_BYTES_TYPE = 0x08
"""The idx format's code for unsigned bytes, the only element type of the MNIST family."""

_CIFAR_SHAPE = (3, 32, 32)


def find_idx(folder: Path, name: str) -> Path | None:
    """The idx file of that name, unpacked or as ``.gz``; ``None`` where the folder has neither."""
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file, uint8 in the file's shape.

    Raises:
        TaskError: the file cannot be read, is no idx file of bytes, or is longer or shorter than its header says.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise TaskError(f"{path} cannot be read ({error}); fetch it again") from error
    num_dimensions = content[3] if len(content) > 3 else 0
    start = 4 + 4 * num_dimensions
    if content[:3] != bytes([0, 0, _BYTES_TYPE]) or len(content) < start:
        raise TaskError(f"{path} is no idx file of unsigned bytes; fetch it again")
    shape = tuple(int(length) for length in np.frombuffer(content, ">u4", num_dimensions, 4))
    expected = start + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        raise TaskError(f"{path} should hold {expected} bytes, found {len(content)}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_cifar_batch(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 (N, 3, 32, 32) and labels int64 (N,) of a CIFAR batch, a pickle of one dictionary.

    Raises:
        TaskError: the file cannot be read, names anything but arrays, or has another shape.
    """
    batch = _read_pickle(path)
    if not isinstance(batch, dict) or not isinstance(batch.get(b"data"), _PickledArray) or b"labels" not in batch:
        raise TaskError(f"{path} should hold a dictionary with data and labels; fetch it again")
    images, labels = batch[b"data"].array, batch[b"labels"]
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise TaskError(f"{path} should hold a list of labels from 0 to 255; fetch it again")
    num_pixels = int(np.prod(_CIFAR_SHAPE))
    if images.shape != (len(labels), num_pixels):
        raise TaskError(
            f"{path} should hold {num_pixels} bytes a label, "
            f"found {images.shape} bytes and {len(labels)} labels; fetch it again"
        )
    return images.reshape(-1, *_CIFAR_SHAPE), np.array(labels, np.int64)


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
"""What a cut or overwritten pickle raises: the documentation of ``pickle`` promises no single exception."""


def _read_pickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="bytes").load()
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); fetch it again") from error
    except _DAMAGED_PICKLE as error:
        raise TaskError(f"{path} is damaged ({error}); fetch it again") from error


class _PickledType:
    """Stands in for numpy's dtype while a pickle is read."""

    def __init__(self, code: object, *_flags: object) -> None:
        self.is_byte = code in ("u1", b"u1")

    def __setstate__(self, state: object) -> None:
        """Byte order and the like say nothing about bytes."""


class _PickledArray:
    """Stands in for numpy's array while a pickle is read: numpy trusts a pickled state, and crashes on a bad one."""

    def __init__(self, *_arguments: object) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, element_type, is_fortran, content = state
        if not isinstance(element_type, _PickledType) or not element_type.is_byte or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it holds an array of something else than bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if is_fortran else "C")


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays of bytes and plain data; whatever else a pickle names is refused before it is called."""

    _STAND_INS: ClassVar[dict[tuple[str, str], type]] = {
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledType,
    }

    def find_class(self, module_name: str, global_name: str) -> type:
        if (module_name, global_name) not in self._STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return self._STAND_INS[module_name, global_name]
