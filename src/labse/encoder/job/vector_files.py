"""Vectors in `.npy` files as float32, float16 or int8 with a scale for each row.

Takes: unit rows. Gives: files that `numpy.load` reads, each with its SHA-256.
Source: NumPy's format description, numpy.lib.format, version 1.0.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.files.atomic import write_atomic

__all__ = [
    "STORAGE_TYPES",
    "Storage",
    "StoredRows",
    "allocate_rows",
    "load_array",
    "npy_header",
    "save_array",
]

Storage = Literal["float32", "float16", "int8"]

STORAGE_TYPES: Mapping[Storage, str] = MappingProxyType(
    {"float32": "<f4", "float16": "<f2", "int8": "|i1"}
)
_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class StoredRows:
    """N vectors as they are stored.

    Attributes:
        values: (N, D) of the stored type.
        scales: (N,) float32 if that is int8, else None; values[n] * scales[n] is a unit row.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None

    def put(self, rows: slice | NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Stores float32 unit rows in some rows."""
        if self.scales is None:
            self.values[rows] = embeddings
            return
        steps = np.abs(embeddings).max(axis=1, keepdims=True) / np.float32(127)
        rounded = np.rint(embeddings / steps)
        self.values[rows] = rounded
        # Not the steps: with these the rows that are read are unit rows again.
        self.scales[rows] = 1 / np.linalg.norm(rounded, axis=1)

    def take(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns some rows as float32, a copy."""
        embeddings = np.array(self.values[rows], np.float32)
        if self.scales is not None:
            embeddings *= self.scales[rows][:, None]
        return embeddings


def allocate_rows(num_rows: int, embedding_size: int, storage: Storage) -> StoredRows:
    """Makes room for (N, D) vectors in memory."""
    return StoredRows(
        values=np.empty((num_rows, embedding_size), STORAGE_TYPES[storage]),
        scales=np.empty(num_rows, np.float32) if storage == "int8" else None,
    )


def save_array(path: Path, array: NDArray[Any], order: NDArray[np.int64] | None = None) -> str:
    """Writes array[order] as `numpy.save` would, in constant memory, and returns its SHA-256.

    Raises:
        ResourceError: it cannot be written.
    """
    num_rows = len(array) if order is None else len(order)
    digest = hashlib.sha256()
    with write_atomic(path) as stream:
        for block in _serialize(array, num_rows, order):
            digest.update(block)
            stream.write(block)
    return digest.hexdigest()


def _serialize(
    array: NDArray[Any], num_rows: int, order: NDArray[np.int64] | None
) -> Iterator[bytes]:
    yield npy_header(array.dtype.str, (num_rows, *array.shape[1:]))
    for start in range(0, num_rows, _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        yield np.ascontiguousarray(array[rows if order is None else order[rows]]).tobytes()


def npy_header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Returns what stands before the values; its length allows the number of rows to grow."""
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def load_array(path: Path) -> NDArray[Any]:
    """Maps an array of a `.npy` file; nothing is unpickled.

    Raises:
        LabseError: it is missing, damaged or cut short.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LabseError(f"{path}: no such file") from None
    except ValueError:  # NumPy's own words advise to unpickle the file.
        raise LabseError(f"{path}: not a whole .npy file; write it again") from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabseError(f"{path}: not a whole .npy file ({reason}); write it again") from None
    if not isinstance(array, np.ndarray):
        raise LabseError(f"{path}: an .npz archive; give a .npy file or a folder of labse encode")
    return array
