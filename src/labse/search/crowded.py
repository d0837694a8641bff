"""Blocks in which too many pairs are equally near: all cosines in float64, of which few are left.

Takes: two blocks of rows. Gives: the K nearest of each row among the pairs whose exact cosine is
certain, and all other pairs.
Source: two float64 sums of D products, in whatever order, differ by less than 2 D 2**-53 of the
norms (Higham 2002, section 3.1). Where both ends of that error round to one float32, that is the
exact cosine, and ties need no further look: 1,000 x 1,000 vectors that all tie took 35 times the
time of others (2026-11-30).

Dimensions: B, C rows of the two blocks, D embedding, K neighbours.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labse.search.engine import Candidates
from labse.search.sides import Block, Side

__all__ = ["decide_crowded"]

_FLOAT64_UNIT = 2.0**-53
_PART_ROWS = 1024  # 8 MiB of cosines.
_STRIP_ROWS = 64  # 512 KiB of them, which stay in the cache.
_FIRST_COLUMNS = 64
_EXACT_SCALE = 2.0**20
_EXACT_LIMIT = 2.0**53


def decide_crowded(
    sides: tuple[Side, Side],
    blocks: tuple[Block, Block],
    reached: tuple[NDArray[np.float32], NDArray[np.float32] | None],
    k: tuple[int, int],
) -> list[Candidates]:
    """Finds each pair whose cosine may be among the k highest of its row, and no others that tie.

    Args:
        sides: source and target.
        blocks: one of each side.
        reached: (B,) and (C,) cosines that rows of the blocks must reach, the k-th so far or
            -infinity; None where no neighbours of the target rows are sought.
        k: neighbours of a source row, and of a target row.

    Returns:
        Those of the source rows, and of the target rows if they are sought.
    """
    forward: list[_Found] = []
    backward: list[_Found] = []
    firsts, seconds = (range(0, len(block.index), _PART_ROWS) for block in blocks)
    for first in firsts:
        for second in seconds:
            parts = slice(first, first + _PART_ROWS), slice(second, second + _PART_ROWS)
            rows, columns = (block.index[part] for block, part in zip(blocks, parts, strict=True))
            part = _all_cosines(*sides, rows, columns)
            forward.append(_choose(part, reached[0][parts[0]], k[0]).shift(first, second))
            if reached[1] is not None:
                found = _choose(part.transpose(), reached[1][parts[1]], k[1])
                backward.append(found.shift(second, first))
    error = _error(sides[0])
    return [_join(found, error) for found in (forward, backward) if found]


class _Found(NamedTuple):
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    cosines: NDArray[np.float64]
    is_certain: NDArray[np.bool_]

    def shift(self, first_row: int, first_column: int) -> "_Found":
        return self._replace(rows=self.rows + first_row, columns=self.columns + first_column)


class _Part(NamedTuple):
    """All pairs of some rows: where it is certain, `rounded` is what `exact_cosines` gives."""

    cosines: NDArray[np.float64]  # (B, C)
    rounded: NDArray[np.float32]
    is_certain: NDArray[np.bool_]

    def transpose(self) -> "_Part":
        return _Part(self.cosines.T, self.rounded.T, self.is_certain.T)


def _join(found: list[_Found], error: float) -> Candidates:
    """Puts parts of a block together, rows ascending."""
    rows, columns, cosines, is_certain = (np.concatenate(p) for p in zip(*found, strict=True))
    order = np.argsort(rows, kind="stable")
    cosines, errors = cosines[order], np.where(is_certain[order], 0, error)
    lower, upper = (cosines - errors).astype(np.float32), (cosines + errors).astype(np.float32)
    return Candidates(rows[order], columns[order], lower, upper, is_crowded=False)


def _all_cosines(
    side: Side, other: Side, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> _Part:
    """Computes (B, C) cosines, and which of them round to the float32 of `exact_cosines`."""
    left, right = side.rows[rows].astype(np.float64), other.rows[columns].astype(np.float64)
    cosines: NDArray[np.float64] = left @ right.T
    rounded, is_certain = np.empty(cosines.shape, np.float32), np.ones(cosines.shape, bool)
    error = 0.0 if _has_exact_sums(left, right) else _error(side)
    other_norms = other.norms[columns]
    for start in range(0, len(rows), _STRIP_ROWS):
        strip = slice(start, start + _STRIP_ROWS)
        cosines[strip] /= np.outer(side.norms[rows[strip]], other_norms)
        rounded[strip] = cosines[strip] - error
        if error:
            is_certain[strip] = rounded[strip] == (cosines[strip] + error).astype(np.float32)
    if not is_certain.all() and not (left.all() or right.all()):
        # Without a place where both are not zero, all products are, and so is the cosine.
        is_zero = (left != 0).astype(np.float32) @ (right != 0).astype(np.float32).T == 0
        rounded[is_zero] = 0
        is_certain |= is_zero
    return _Part(cosines, rounded, is_certain)


def _error(side: Side) -> float:
    num_products: int = side.rows.shape[1]
    return (2 * num_products + 8) * _FLOAT64_UNIT


def _has_exact_sums(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Says whether all are whole numbers on one scale, so small that no sum is ever rounded."""
    largest = 1.0
    for rows in (left, right):
        scaled = rows * _EXACT_SCALE
        if not (scaled == np.rint(scaled)).all():
            return False
        largest *= np.abs(scaled).max(initial=0)
    return bool(largest * left.shape[1] < _EXACT_LIMIT)


def _choose(part: _Part, reached: NDArray[np.float32], k: int) -> _Found:
    """Finds in (B, C) the k best certain pairs of each row, ties by column, and the uncertain."""
    cosines, rounded, is_certain = part
    if is_certain.all():
        # Where all tie, the first columns have the k best.
        highest = rounded.max(axis=1)
        is_best = rounded[:, :_FIRST_COLUMNS] == highest[:, None]
        place = np.cumsum(is_best, axis=1, dtype=np.int32)
        if (place[:, -1] >= k).all():
            is_best &= (place <= k) & (highest >= reached)[:, None]
            rows, columns = np.nonzero(is_best)
            return _Found(rows, columns, cosines[rows, columns], is_certain[rows, columns])

    rounded, is_uncertain = np.ascontiguousarray(rounded), ~np.ascontiguousarray(is_certain)
    chosen = np.ones(rounded.shape, bool)
    if rounded.shape[1] > k:
        ranked = np.where(is_uncertain, np.float32(-np.inf), rounded)
        kth = np.partition(ranked, -k, axis=1)[:, -k, None]
        chosen, ties = ranked > kth, ranked == kth
        room = k - np.count_nonzero(chosen, axis=1)[:, None]
        chosen |= ties & (np.cumsum(ties, axis=1, dtype=np.int32) <= room)
    # An uncertain one may be a little more than it seems.
    chosen = (chosen & (rounded >= reached[:, None])) | is_uncertain
    rows, columns = np.nonzero(chosen)
    return _Found(rows, columns, cosines[rows, columns], is_certain[rows, columns])
