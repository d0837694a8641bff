"""Checked inputs of a search: their lengths, their copies, and blocks of them to multiply.

Takes: embeddings (N, D), float16 or float32, in memory or memory-mapped; need not be unit rows.
Gives: the rows that take part, as unit rows for products and as they are for exact dot products.
Source: rows of one block are read at a time, so a mapped file need not fit into memory. Copies are
proposed by multilinear hashing modulo 2**64 (Carter & Wegman 1979) and decided by their bytes: 30
times faster than a digest of each row (384 float32, one core, 2026-11).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.files.npy import release_map
from labse.search.engine import Engine, Operand

__all__ = [
    "Block",
    "Copies",
    "Side",
    "check_side",
    "exact_cosines",
    "find_copies",
    "hash_rows",
]

_CHECKED_ROWS = 1024
_RELEASED_ROWS = 65_536  # Of a mapped file, 192 MiB of 768 float32.
# Twice 128 rows of 768 float64 stay in the cache.
_EXACT_PAIRS = 128
_COMPARED_BYTES = 1 << 24
_SEED = 20071852  # Any fixed number: the hash decides nothing.


@dataclass(frozen=True, slots=True)
class Block:
    """Some of the kept rows of one side: where they start, which they are, ready to multiply.

    `short` are fewer values of each row, where the search has use for them.
    """

    start: int
    index: NDArray[np.int64]
    operand: Operand
    short: NDArray[np.float32] | None = None

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

    def blocks(
        self,
        engine: Engine,
        block_rows: int,
        start: int,
        stop: int,
        shorten: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    ) -> Iterator[Block]:
        """Yields the kept rows from `start` to `stop`, or to the last one, block by block."""
        for first in range(start, min(stop, len(self.kept)), block_rows):
            index = self.kept[first : min(first + block_rows, stop)]
            units = self.units(index)
            short = shorten(units) if shorten else None
            yield Block(first, index, engine.load(units), short)


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
            release_map(rows)
    for row_number in np.flatnonzero(~np.isfinite(norms))[:1]:
        raise LabseError(
            f"{name}, row {row_number} (from 0): holds NaN or infinity; embed it again"
        )
    for row_number in np.flatnonzero(norms == 0)[:1]:
        raise LabseError(f"{name}, row {row_number} (from 0): all zeros, which has no direction")
    copies = find_copies(rows, hashes, k)
    return Side(rows, norms, copies.first_copy, copies.kept)


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Which rows repeat an earlier one.

    Attributes:
        first_copy: (N,) row number of the first row with the same bytes; its own if it is that.
        kept: row numbers, ascending, of the rows that are among the first k of their copies.
    """

    first_copy: NDArray[np.int64]
    kept: NDArray[np.int64]


def hash_rows(rows: NDArray[np.generic]) -> NDArray[np.uint64]:
    """Returns (N,) hashes of the bytes of `rows` (N, D); equal rows have equal hashes."""
    words = _words(rows)
    weights = np.random.default_rng(_SEED).integers(1 << 63, size=words.shape[1], dtype=np.uint64)
    hashes: NDArray[np.uint64] = np.einsum("nw,w->n", words, 2 * weights + 1, dtype=np.uint64)
    return hashes


def find_copies(rows: NDArray[np.generic], hashes: NDArray[np.uint64], k: int) -> Copies:
    """Finds the copies among `rows` (N, D), whose `hashes` (N,) are those of `hash_rows`.

    Only rows that share their hash with another are read again.
    """
    groups = _group(rows, hashes)
    order = np.argsort(groups, kind="stable")  # Stable: copies stay in their order.
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = groups[order[1:]] != groups[order[:-1]]
    position = np.arange(len(order))
    first_position = np.maximum.accumulate(np.where(is_first, position, 0))

    first_copy = np.empty_like(order)
    first_copy[order] = order[first_position]
    return Copies(first_copy, np.sort(order[position - first_position < k]))


def _group(rows: NDArray[np.generic], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Numbers the rows so that two have one number exactly if their bytes are equal."""
    _, firsts, groups = np.unique(hashes, return_index=True, return_inverse=True)
    representatives = firsts[groups]
    repeats = np.flatnonzero(representatives != np.arange(len(rows)))
    by_bytes: dict[bytes, int] = {}
    for chunk in _chunks(repeats, rows):
        left, right = rows[chunk], rows[representatives[chunk]]
        differ = (_words(left) != _words(right)).any(axis=1)
        # Unequal rows of one hash, perhaps never: numbered one by one, apart from the first row's.
        for number in chunk[differ].tolist():
            groups[number] = by_bytes.setdefault(rows[number].tobytes(), len(rows) + len(by_bytes))
    return groups


def _words(rows: NDArray[np.generic]) -> NDArray[np.unsignedinteger]:
    """Views the bytes of rows as the widest unsigned integers that fit a row."""
    row_bytes = rows.shape[1] * rows.itemsize
    size = next(size for size in (8, 4, 2, 1) if row_bytes % size == 0)
    return np.ascontiguousarray(rows).view(f"u{size}") if row_bytes else rows.astype(np.uint8)


def _chunks(numbers: NDArray[np.int64], rows: NDArray[np.generic]) -> Iterator[NDArray[np.int64]]:
    size = max(1, _COMPARED_BYTES // max(1, rows.shape[1] * rows.itemsize))
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


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
