"""Exact k nearest neighbours by cosine, in blocks of bounded memory.

Takes: embeddings (N, D), float16 or float32, in memory or memory-mapped; need not be unit rows.
Gives: neighbours and similarities that depend on neither the block size nor the BLAS library.
Source: a float32 matrix product proposes (it gives equal rows unequal last bits, depending on
where they stand in it), a float64 dot product of the few candidates decides.

Dimensions: N, M rows of the two sides, D embedding, K neighbours.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError

__all__ = ["MutualNeighbours", "Neighbours", "mutual_neighbours", "nearest_neighbours"]

# 2048: 16 MiB of similarities; twice or half is no faster (384 dimensions, two cores, 2026-11).
_BLOCK_ROWS = 2048
_CHUNK_PAIRS = 4096
_NO_INDEX = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The K nearest rows of the other side, nearest first; equal similarities by lower index."""

    neighbours: NDArray[np.int64]
    """(N, K) row numbers."""
    similarities: NDArray[np.float32]
    """(N, K) cosines, rounded from float64."""


@dataclass(frozen=True, slots=True)
class MutualNeighbours:
    """Neighbours in both directions; a pair found in both has the same similarity in both."""

    forward: Neighbours
    """Of each source row among the target rows."""
    backward: Neighbours
    """Of each target row among the source rows."""


def nearest_neighbours(
    queries: NDArray[np.floating],
    corpus: NDArray[np.floating],
    k: int,
    *,
    block_rows: int = _BLOCK_ROWS,
) -> Neighbours:
    """Finds the k rows of `corpus` (M, D) with the highest cosine to each of `queries` (N, D).

    K is k, or M if the corpus is smaller. Beside inputs and result it needs about
    13 * block_rows**2 bytes and 100 a row. The inputs are not changed.

    Raises:
        ValueError: not two-dimensional floats, unequal D, or k or block_rows below 1.
        LabseError: a row with NaN or infinity, or of zeros only, which has no direction.
    """
    queries_side, corpus_side = _prepare(queries, corpus, ("queries", "corpus"), k, block_rows)
    forward, _ = _search(queries_side, corpus_side, k, block_rows, both=False)
    return forward


def mutual_neighbours(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    k: int,
    *,
    block_rows: int = _BLOCK_ROWS,
) -> MutualNeighbours:
    """Finds the neighbours of both sides among each other with one matrix product, not two.

    See `nearest_neighbours` for shapes, memory and errors.
    """
    source_side, target_side = _prepare(source, target, ("source", "target"), k, block_rows)
    forward, backward = _search(source_side, target_side, k, block_rows, both=True)
    return MutualNeighbours(forward, backward)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of one side: as given, their norms, and as unit float32 rows."""

    rows: NDArray[np.floating]
    norms: NDArray[np.float64]
    units: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Side:
    """One checked input; `kept` are the rows that take part in the search.

    Copies of a row have the same neighbours, and all but its first k copies lose every tie:
    leaving those out changes no result and keeps a corpus of copies from being one huge tie.
    """

    rows: NDArray[np.floating]
    norms: NDArray[np.float64]
    first_copy: NDArray[np.int64]
    kept: NDArray[np.int64]

    def block(self, start: int, block_rows: int) -> _Block:
        index = self.kept[start : start + block_rows]
        rows, norms = np.asarray(self.rows[index]), self.norms[index]
        return _Block(rows, norms, (rows / norms[:, None]).astype(np.float32))


def _prepare(
    left: NDArray[np.floating],
    right: NDArray[np.floating],
    names: tuple[str, str],
    k: int,
    block_rows: int,
) -> tuple[_Side, _Side]:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if block_rows < 1:
        raise ValueError(f"block_rows must be at least 1, not {block_rows}")
    for name, array in zip(names, (left, right), strict=True):
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{name}: expected floats of shape (rows, dimensions), "
                f"not {array.dtype} of shape {array.shape}"
            )
    if left.shape[1] != right.shape[1]:
        raise ValueError(
            f"{names[0]} has {left.shape[1]} dimensions, {names[1]} has {right.shape[1]}; "
            "embed both with the same model"
        )
    return _check_side(left, names[0], k, block_rows), _check_side(right, names[1], k, block_rows)


def _check_side(rows: NDArray[np.floating], name: str, k: int, block_rows: int) -> _Side:
    norms = np.empty(len(rows), dtype=np.float64)
    digests = np.empty((len(rows), 2), dtype=np.uint64)
    for start in range(0, len(rows), block_rows):
        block = np.ascontiguousarray(rows[start : start + block_rows])
        exact = block.astype(np.float64)
        norms[start : start + block_rows] = np.sqrt(np.einsum("nd,nd->n", exact, exact))
        joined = b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in block)
        digests[start : start + block_rows] = np.frombuffer(joined, np.uint64).reshape(-1, 2)
    for row_number in np.flatnonzero(~np.isfinite(norms))[:1]:
        raise LabseError(
            f"{name}, row {row_number} (from 0): holds NaN or infinity; embed it again"
        )
    for row_number in np.flatnonzero(norms == 0)[:1]:
        raise LabseError(f"{name}, row {row_number} (from 0): all zeros, which has no direction")
    return _Side(rows, norms, *_find_copies(digests, k))


def _find_copies(
    digests: NDArray[np.uint64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the first copy of each row, and the rows that are among the first k of theirs."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # Stable: copies stay in their order.
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    position = np.arange(len(order))
    first_position = np.maximum.accumulate(np.where(is_first, position, 0))

    first_copy = np.empty_like(order)
    first_copy[order] = order[first_position]
    return first_copy, np.sort(order[position - first_position < k])


def _search(
    source: _Side, target: _Side, k: int, block_rows: int, *, both: bool
) -> tuple[Neighbours, Neighbours]:
    forward = _TopK(len(source.kept), min(k, len(target.rows)))
    backward = _TopK(len(target.kept), min(k, len(source.rows)) if both else 0)
    # Any order of summing D products of unit rows errs by less than D * 2**-24 (Higham 2002, 3.1);
    # 4 more for the rounding of the rows and of the result.
    slack = np.float32((source.rows.shape[1] + 4) * 2.0**-24)
    for row in range(0, len(source.kept), block_rows):
        source_block = source.block(row, block_rows)
        for column in range(0, len(target.kept), block_rows):
            target_block = target.block(column, block_rows)
            products = source_block.units @ target_block.units.T
            forward.update(products, source_block, target_block, row, column, slack)
            if both:
                backward.update(products.T, target_block, source_block, column, row, slack)
    return forward.expand(source, target), backward.expand(target, source)


class _TopK:
    """The best so far of the kept rows of one side, while the blocks of the other pass by."""

    def __init__(self, num_rows: int, k: int) -> None:
        self.k = k
        self.neighbours = np.full((num_rows, k), _NO_INDEX, dtype=np.int64)
        self.similarities = np.full((num_rows, k), -np.inf, dtype=np.float32)

    def update(
        self,
        products: NDArray[np.float32],
        block: _Block,
        other: _Block,
        row_offset: int,
        column_offset: int,
        slack: np.float32,
    ) -> None:
        """Takes in the products (B, C) of the block at `row_offset` with one of the other side."""
        # A row enters only if it beats the exact K-th so far, hence by product within one slack.
        floor = self.similarities[row_offset : row_offset + len(products), -1] - slack
        mask = _mask_above(products, floor)
        if np.count_nonzero(mask) > 4 * self.k * len(products) and products.shape[1] > self.k:
            # Nor can a row enter that trails the K-th of this block by both their errors.
            last = products.shape[1] - self.k
            best = np.partition(np.ascontiguousarray(products), last, axis=1)[:, last]
            mask = _mask_above(products, np.maximum(floor, best - 2 * slack))
        rows, columns = _pairs_in(mask)
        for chunk in _chunks(len(rows)):
            similarities = _exact_cosines(block, other, rows[chunk], columns[chunk])
            self._merge(rows[chunk] + row_offset, columns[chunk] + column_offset, similarities)

    def _merge(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], sims: NDArray[np.float32]
    ) -> None:
        affected = np.unique(rows)
        all_rows = np.concatenate([np.repeat(affected, self.k), rows])
        all_columns = np.concatenate([self.neighbours[affected].ravel(), columns])
        all_sims = np.concatenate([self.similarities[affected].ravel(), sims])

        order = np.lexsort((all_columns, -all_sims, all_rows))
        starts = np.searchsorted(all_rows[order], affected)
        best = order[starts[:, None] + np.arange(self.k)]
        self.neighbours[affected] = all_columns[best]
        self.similarities[affected] = all_sims[best]

    def expand(self, side: _Side, other: _Side) -> Neighbours:
        """Numbers the neighbours as in the input and gives the rows left out their first copy's."""
        rows = np.searchsorted(side.kept, side.first_copy)
        return Neighbours(other.kept[self.neighbours[rows]], self.similarities[rows])


def _mask_above(products: NDArray[np.float32], floor: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Compares each row with its floor; the mask lies in memory in the order of `products`."""
    if products.flags.c_contiguous:
        return products >= floor[:, None]
    transposed = products.T
    return (transposed >= floor).T


def _pairs_in(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # Scanned flat in the order of memory: five times faster than np.nonzero (1 in 1,000 true).
    if mask.flags.c_contiguous:
        rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    else:
        columns, rows = np.divmod(np.flatnonzero(mask.T), mask.shape[0])
    return rows, columns


def _exact_cosines(
    block: _Block, other: _Block, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.float32]:
    left, right = block.rows[rows].astype(np.float64), other.rows[columns].astype(np.float64)
    norms = block.norms[rows] * other.norms[columns]
    cosines: NDArray[np.float64] = np.einsum("nd,nd->n", left, right) / norms
    return cosines.astype(np.float32)


def _chunks(length: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK_PAIRS) for start in range(0, length, _CHUNK_PAIRS))
