"""What an engine multiplies two blocks to, and the pairs in it that may be near enough.

Takes: unit float32 rows, the similarity each row must reach.
Gives: all pairs that may reach it: approximate products within a proven error, so none is missed.
Source: Higham 2002, section 3.1, for the errors; only tiles whose maximum is high enough are
opened, since reading every product a second time costs as much as computing it.

Dimensions: B, C rows of the two blocks, T tiles of 64 products, P opened tiles.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FLOAT32_UNIT",
    "TILE",
    "Axis",
    "Candidates",
    "Engine",
    "Operand",
    "Products",
    "find_candidates",
]

Axis: TypeAlias = Literal[0, 1]
"""Whose neighbours are sought: 0 those of the left rows, 1 those of the right ones."""
TILE = 64
FLOAT32_UNIT = 2.0**-24
"""What rounding to float32 moves a number by at most, relative to it."""


@dataclass(frozen=True, slots=True)
class Operand:
    """Rows as one engine multiplies them, padded with rows of zeros to whole tiles."""

    rows: object
    """(padded B, D); what it is, only its engine knows."""
    num_rows: int
    """B, without the padding."""
    residual: float
    """The largest distance of a row from the one that it stands for."""


class Products(Protocol):
    """Products of all rows of two operands.

    Along axis 0 tile t of a row holds the products with the columns t, t + T, t + 2T, ...; along
    axis 1 the same of a column with the rows. So maxima of tiles are maxima of whole slices.
    """

    @property
    def error(self) -> float:
        """No product is farther than this from the cosine, its own rounding aside."""
        ...

    @property
    def rounding(self) -> float:
        """Relative error of a product by its own rounding."""
        ...

    def tile_maxima(self, axis: Axis) -> NDArray[np.float32]:
        """Returns (B, T) maxima, exact where positive, and never too high."""
        ...

    def open_tiles(
        self, axis: Axis, rows: NDArray[np.int64], tiles: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Returns (P, 64) products."""
        ...


class Engine(Protocol):
    """What multiplies blocks."""

    name: str
    value_bytes: int
    block_rows: int
    """Rows that suit it, of each of two blocks."""

    def workers(self) -> AbstractContextManager[ThreadPoolExecutor]:
        """Starts as many threads as should multiply blocks at once."""
        ...

    def load(self, units: NDArray[np.float32]) -> Operand:
        """Takes unit rows (B, D) as they will be multiplied."""
        ...

    def multiply(self, left: Operand, right: Operand) -> Products:
        """Multiplies all rows of two operands; valid until the thread's next call."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs that may be near enough: rows, ascending, and rows of the other side, (P,) each.

    Attributes:
        rows: of the side whose neighbours are sought.
        columns: of the other.
        lower: their cosine is not below it.
        upper: nor above it.
        is_crowded: they are too many to be useful, so none of them are given.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    is_crowded: bool


_OPENED_TILES = 4096  # 1 MiB of products.
_NO_INDEX, _NO_BOUND = np.empty(0, np.int64), np.empty(0, np.float32)
_CROWD = Candidates(_NO_INDEX, _NO_INDEX, _NO_BOUND, _NO_BOUND, is_crowded=True)


def find_candidates(
    products: Products, axis: Axis, reached: NDArray[np.float32], k: int, num_columns: int
) -> Candidates:
    """Finds each pair whose cosine may be among the k highest of its row.

    Args:
        axis: whose rows.
        reached: (B,) cosines that rows of the block must reach, the k-th so far or -infinity.
        num_columns: rows of the other block, without padding.
    """
    maxima = products.tile_maxima(axis)[: len(reached)]
    floor = _floor(reached, products)
    is_open = _may_reach(maxima, floor)
    num_tiles = maxima.shape[1]
    if np.count_nonzero(is_open) > 2 * k * len(reached) and num_tiles > k:
        # The k-th highest maximum is that of k pairs: no row need look below it.
        kth = np.partition(maxima, num_tiles - k, axis=1)[:, num_tiles - k]
        floor = np.maximum(floor, _floor(_certain_cosine(kth, products), products))
        is_open = _may_reach(maxima, floor)
    rows, tiles = np.nonzero(is_open)

    most = 16 * k * len(reached) if num_columns > k else is_open.size * TILE
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    num_found = 0
    # By parts: of a crowd only as much is opened as tells that it is one.
    for start in range(0, len(rows), _OPENED_TILES):
        in_part = slice(start, start + _OPENED_TILES)
        part_rows, part_tiles = rows[in_part], tiles[in_part]
        values = products.open_tiles(axis, part_rows, part_tiles)
        places = np.flatnonzero(values >= floor[part_rows][:, None])
        num_found += len(places)
        if num_found > most:
            return _CROWD
        tile_numbers, offsets = np.divmod(places, TILE)
        columns = offsets * num_tiles + part_tiles[tile_numbers]
        is_real = columns < num_columns
        found = values.ravel()[places[is_real]]
        parts.append((part_rows[tile_numbers[is_real]], columns[is_real], found))
    parts.append((_NO_INDEX, _NO_INDEX, _NO_BOUND))
    rows, columns, found = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    lower, upper = _certain_cosine(found, products), _possible_cosine(found, products)
    return Candidates(rows, columns, lower, upper, is_crowded=False)


def _floor(reached: NDArray[np.float32], products: Products) -> NDArray[np.float32]:
    """Returns a number that the product of a cosine of at least `reached` is not below."""
    exact = reached.astype(np.float64) - products.error
    if products.rounding:
        exact -= np.abs(exact) * products.rounding
    return np.nextafter(exact.astype(np.float32), np.float32(-np.inf))


def _certain_cosine(values: NDArray[np.float32], products: Products) -> NDArray[np.float32]:
    """Returns a number that the cosine of a product of `values` is not below."""
    exact = values.astype(np.float64)
    if products.rounding:
        exact = exact - np.abs(exact) * products.rounding
    return np.nextafter((exact - products.error).astype(np.float32), np.float32(-np.inf))


def _possible_cosine(values: NDArray[np.float32], products: Products) -> NDArray[np.float32]:
    """Returns a number that the cosine of a product of `values` is not above."""
    return -_certain_cosine(-values, products)


def _may_reach(maxima: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[np.bool_]:
    # A maximum that is negative may be too low: such a tile is opened.
    return (maxima >= floor[:, None]) | (floor <= 0)[:, None]
