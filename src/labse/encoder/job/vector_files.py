"""Vectors as they are stored: float32, float16, or int8 with a scale for each row."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "STORAGE_TYPES",
    "Storage",
    "StoredRows",
    "allocate_rows",
]

Storage = Literal["float32", "float16", "int8"]

STORAGE_TYPES: Mapping[Storage, str] = MappingProxyType(
    {"float32": "<f4", "float16": "<f2", "int8": "|i1"}
)


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
