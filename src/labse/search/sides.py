"""Checked inputs of a search: their lengths, their copies, and blocks of them to multiply.

Takes: embeddings (N, D), float16 or float32, in memory or memory-mapped; need not be unit rows.
Gives: the rows that take part, as unit rows for products and as they are for exact dot products.
Source: rows of one block are read at a time, so a mapped file need not fit into memory.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.search.copies import find_copies, hash_rows
from labse.search.engine import Engine, Operand

__all__ = ["Block", "Side", "check_side", "exact_cosines", "release"]

_CHECKED_ROWS = 1024
_RELEASED_ROWS = 65_536  # Of a mapped file, 192 MiB of 768 float32.
# Twice 128 rows of 768 float64 stay in the cache.
_EXACT_PAIRS = 128


@dataclass(frozen=True, slots=True)
class Block:
    """Some of the kept rows of one side: where they start, which they are, ready to multiply."""

    start: int
    index: NDArray[np.int64]
    operand: Operand

    @property
    def place(self) -> slice:
        """Where its rows are among the kept ones."""
        return slice(self.start, self.start + len(self.index))


@dataclass(frozen=True, slots=True)
class Side:
    """One checked input; `kept` are the rows that take part in the search.

    Copies of a row have the same neighbours, and all but its first k copies lose every tie:
    leaving those out changes no result and keeps a corpus of copies from being one huge tie.
    """

    rows: NDArray[np.floating]
    norms: NDArray[np.float64]
    first_copy: NDArray[np.int64]
    kept: NDArray[np.int64]

    def units(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns unit rows of some row numbers."""
        is_range = len(index) and index[-1] - index[0] + 1 == len(index)
        rows = self.rows[index[0] : index[-1] + 1] if is_range else self.rows[index]
        units: NDArray[np.float32] = (rows / self.norms[index][:, None]).astype(np.float32)
        return units

    def blocks(self, engine: Engine, block_rows: int, start: int, stop: int) -> Iterator[Block]:
        """Yields the kept rows from `start` to `stop`, or to the last one, block by block."""
        for first in range(start, min(stop, len(self.kept)), block_rows):
            index = self.kept[first : min(first + block_rows, stop)]
            yield Block(first, index, engine.load(self.units(index)))


def check_side(rows: NDArray[np.floating], name: str, k: int) -> Side:
    """Measures all rows and finds the copies among them.

    Raises:
        LabseError: a row with NaN or infinity, or of zeros only, which has no direction.
    """
    norms = np.empty(len(rows), dtype=np.float64)
    hashes = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), _CHECKED_ROWS):
        block = np.ascontiguousarray(rows[start : start + _CHECKED_ROWS])
        exact = block.astype(np.float64)
        norms[start : start + _CHECKED_ROWS] = np.sqrt(np.einsum("nd,nd->n", exact, exact))
        hashes[start : start + _CHECKED_ROWS] = hash_rows(block)
        if start % _RELEASED_ROWS == 0:
            release(rows)
    for row_number in np.flatnonzero(~np.isfinite(norms))[:1]:
        raise LabseError(
            f"{name}, row {row_number} (from 0): holds NaN or infinity; embed it again"
        )
    for row_number in np.flatnonzero(norms == 0)[:1]:
        raise LabseError(f"{name}, row {row_number} (from 0): all zeros, which has no direction")
    copies = find_copies(rows, hashes, k)
    return Side(rows, norms, copies.first_copy, copies.kept)


def exact_cosines(
    side: Side, other: Side, rows: NDArray[np.int64], other_rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Returns (P,) cosines of pairs of rows, summed in float64 and rounded to float32."""
    cosines = np.empty(len(rows), np.float32)
    size = min(_EXACT_PAIRS, len(rows))
    # The same memory for each chunk: to get new pages took ten times as long as to sum.
    read = [np.empty((size, side.rows.shape[1]), s.rows.dtype) for s in (side, other)]
    wide = np.empty((2, *read[0].shape))
    for start in range(0, len(rows), _EXACT_PAIRS):
        numbers = rows[start : start + size], other_rows[start : start + size]
        count = len(numbers[0])
        for chosen, source, values, exact in zip(numbers, (side, other), read, wide, strict=True):
            np.take(source.rows, chosen, axis=0, out=values[:count], mode="clip")
            exact[:count] = values[:count]
        dots = np.einsum("nd,nd->n", wide[0, :count], wide[1, :count])
        cosines[start : start + size] = dots / (side.norms[numbers[0]] * other.norms[numbers[1]])
    return cosines


def release(rows: NDArray[np.floating]) -> None:
    """Lets go of what was read of a memory-mapped file; it stays in the system's cache."""
    base: object = rows
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and not rows.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)
