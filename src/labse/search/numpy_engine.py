"""Products of blocks on NumPy, in float32.

Takes: unit float32 rows. Gives: products with a proven bound on their error.
Source: Higham 2002, section 3.1.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse.search.engine import FLOAT32_UNIT, TILE, Axis, Operand, Products

__all__ = ["NumpyEngine"]


class NumpyEngine:
    """Multiplies in float32."""

    name = "numpy"
    value_bytes = 4
    block_rows = 1024

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
        left_rows = cast("NDArray[np.float32]", left.rows)
        values = left_rows @ cast("NDArray[np.float32]", right.rows).T
        values[left.num_rows :] = -np.inf
        values[:, right.num_rows :] = -np.inf
        # Any order of summing D products of unit rows errs by less than D * 2**-24; 4 more for
        # the rounding of the rows and of the result.
        return _NumpyProducts(values, (left_rows.shape[1] + 4) * FLOAT32_UNIT)


@dataclass(frozen=True, slots=True)
class _NumpyProducts:
    values: NDArray[np.float32]
    error: float
    rounding: float = 0.0

    def tile_maxima(self, axis: Axis) -> NDArray[np.float32]:
        num_rows, num_columns = self.values.shape
        if axis == 0:
            maxima: NDArray[np.float32] = self.values.reshape(num_rows, TILE, -1).max(axis=1)
            return maxima
        tiles = self.values.reshape(TILE, -1, num_columns).max(axis=0)
        return np.ascontiguousarray(tiles.T)

    def open_tiles(
        self, axis: Axis, rows: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        num_rows, num_columns = self.values.shape
        if axis == 0:
            opened: NDArray[np.float32] = self.values.reshape(num_rows, TILE, -1)[rows, :, tiles]
        else:
            opened = self.values.reshape(TILE, -1, num_columns)[:, tiles, rows].T
        return opened
