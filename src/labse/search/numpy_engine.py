"""Products of blocks on NumPy, in float32.

Takes: unit float32 rows. Gives: products with a proven bound on their error.
Source: Higham 2002, section 3.1.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse.search.engine import FLOAT32_UNIT, TILE, Axis, Operand, Products

__all__ = ["NumpyEngine"]

_PAIRS_AT_ONCE = 128  # Twice 128 rows of 768 stay in the cache.


class NumpyEngine:
    """Multiplies in float32."""

    name = "numpy"
    value_bytes = 4
    block_rows = 1024

    def __init__(self) -> None:
        """Holds no memory yet."""
        self._own = threading.local()

    def workers(self) -> AbstractContextManager[ThreadPoolExecutor]:
        """One looks at its products while the other multiplies; see `Engine`."""
        return ThreadPoolExecutor(2, thread_name_prefix="labse-knn")

    def load(self, units: NDArray[np.float32]) -> Operand:
        """Pads the rows; see `Engine`."""
        missing = -len(units) % TILE
        rows = np.pad(units, ((0, missing), (0, 0))) if missing else units
        return Operand(rows, len(units), residual=0.0)

    def multiply(self, left: Operand, right: Operand) -> Products:
        """See `Engine`."""
        left_rows, right_rows = (cast("NDArray[np.float32]", x.rows) for x in (left, right))
        values = self._values((len(left_rows), len(right_rows)))
        np.matmul(left_rows, right_rows.T, out=values)
        values[left.num_rows :] = -np.inf
        values[:, right.num_rows :] = -np.inf
        return _NumpyProducts(values, _error(left_rows.shape[1]))

    @staticmethod
    def multiply_pairs(
        left: Operand, right: Operand, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], float]:
        """Returns (P,) products of some pairs, and how far from the cosine they are at most."""
        left_rows, right_rows = (cast("NDArray[np.float32]", x.rows) for x in (left, right))
        products = np.empty(len(rows), np.float32)
        read = np.empty((2, _PAIRS_AT_ONCE, left_rows.shape[1]), np.float32)
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            ours, others = read[:, : len(rows[part])]
            np.take(left_rows, rows[part], axis=0, out=ours, mode="clip")
            np.take(right_rows, columns[part], axis=0, out=others, mode="clip")
            np.einsum("pd,pd->p", ours, others, out=products[part])
        return products, _error(left_rows.shape[1])

    def _values(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Returns the thread's memory for products: new pages cost 1 ms for 1024 x 1024."""
        out: NDArray[np.float32] | None = getattr(self._own, "values", None)
        if out is None or out.shape != shape:
            out = self._own.values = np.empty(shape, np.float32)
        return out


def _error(num_values: int) -> float:
    # Any order of summing D products of unit rows errs by less than D * 2**-24; 4 more for the
    # rounding of the rows and of the result.
    return (num_values + 4) * FLOAT32_UNIT


@dataclass(frozen=True, slots=True)
class _NumpyProducts:
    values: NDArray[np.float32]
    error: float
    rounding: float = 0.0

    def tile_maxima(self, axis: Axis) -> NDArray[np.float32]:
        if axis == 1:
            tiles = self.values.reshape(TILE, -1, self.values.shape[1]).max(axis=0)
            return np.ascontiguousarray(tiles.T)
        # Halves keep rows long: .5 ms where the maximum of 64 short rows takes 2.4 (1024 x 1024).
        maxima = self.values
        for _ in range(TILE.bit_length() - 1):
            half = maxima.shape[1] // 2
            maxima = np.maximum(maxima[:, :half], maxima[:, half:])
        return maxima

    def open_tiles(
        self, axis: Axis, rows: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        num_rows, num_columns = self.values.shape
        if axis == 0:
            opened: NDArray[np.float32] = self.values.reshape(num_rows, TILE, -1)[rows, :, tiles]
        else:
            opened = self.values.reshape(TILE, -1, num_columns)[:, tiles, rows].T
        return opened
