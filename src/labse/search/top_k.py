"""The best rows of one side for each row of the other, from candidates that come block by block.

Takes: pairs with a lower and an upper bound of their cosines, from several threads.
Gives: the K nearest by exact cosine, ties by index.
Source: a pair whose upper bound is below the K-th highest lower bound of its row is none of the K
nearest. So exact cosines, which cost as much as thousands of products, are computed at the end and
of few pairs: 10 of 50 that are proposed for a row (50,000 x 50,000 x 768, k = 4).
"""

import threading
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from labse.search.engine import Candidates
from labse.search.sides import Block, Side, exact_cosines

__all__ = ["TopK"]

_NO_INDEX = np.iinfo(np.int64).max
_CANDIDATES_PER_ROW = 16  # 12 bytes each.
_LEAST_CANDIDATES = 1 << 18
_RESCORED_PAIRS = 1 << 15  # At once, in one thread.

Slices = Iterable[slice]
Map = Callable[[Callable[[slice], None], Slices], Iterable[None]]


class TopK:
    """The best so far of the kept rows of one side, while the blocks of the other pass by."""

    def __init__(
        self, side: Side, other: Side, k: int, *, max_candidates: int | None = None
    ) -> None:
        """Begins without candidates; over `max_candidates` of them are rescored on the way."""
        self.side, self.other = side, other
        self.k = min(k, len(other.rows))
        num_rows = len(side.kept)
        self.neighbours = np.full((num_rows, self.k), _NO_INDEX, dtype=np.int64)
        self.similarities = np.full((num_rows, self.k), -np.inf, dtype=np.float32)
        # The K highest lower bounds of each row, lowest first.
        self._bounds = np.full((num_rows, self.k), -np.inf, dtype=np.float32)
        self._candidates: list[_Pairs] = []
        self._num_candidates = 0
        self._max_candidates = max_candidates or max(
            _LEAST_CANDIDATES, _CANDIDATES_PER_ROW * num_rows
        )
        self._lock = threading.Lock()

    def lower_bounds(self, block: Block) -> NDArray[np.float32]:
        """Returns for each row of a block a cosine that its K nearest have at least."""
        return self._bounds[block.place, 0].copy()

    def add_candidates(self, block: Block, other: Block, pairs: Candidates) -> None:
        """Adds the pairs of two blocks that may be near enough."""
        if not len(pairs.rows):
            return
        rows = pairs.rows + block.start
        with self._lock:
            self._raise_bounds(rows, pairs.lower)
            columns = pairs.columns + other.start
            pairs_here = rows.astype(np.int32), columns.astype(np.int32), pairs.upper
            self._candidates.append(pairs_here)
            self._num_candidates += len(rows)
            if self._num_candidates > self._max_candidates:
                self._drop_below_bound()
                if self._num_candidates > self._max_candidates // 2:
                    self._rescore(map)

    def finish(self, apply: Map) -> None:
        """Computes the exact cosines; `apply` is `map`, perhaps of a thread pool."""
        self._drop_below_bound()
        self._rescore(apply)

    def expand(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers the neighbours as in the input and gives the rows left out their first copy's."""
        rows = np.searchsorted(self.side.kept, self.side.first_copy)
        return self.other.kept[self.neighbours[rows]], self.similarities[rows]

    def _raise_bounds(self, rows: NDArray[np.int64], lower: NDArray[np.float32]) -> None:
        """Keeps the K highest lower bounds of each of `rows`, which are ascending; lowest first."""
        affected = rows[np.flatnonzero(np.diff(rows, prepend=-1))]
        # One sort of integers that hold row and bound: a tenth of the time of a sort by two keys.
        known = _keys(np.repeat(affected, self.k), self._bounds[affected].ravel())
        keys = np.concatenate([known, _keys(rows, lower)])
        keys.sort()
        ends = np.searchsorted(keys, (affected + 1) << 32)
        best = keys[ends[:, None] + np.arange(-self.k, 0)]
        self._bounds[affected] = _bounds_of(best)

    def _drop_below_bound(self) -> None:
        """Drops the candidates whose upper bound is below the K-th lower bound of their row."""
        if not self._candidates:
            return
        kept: list[_Pairs] = []
        for rows, columns, upper in self._candidates:
            may_reach = upper >= self._bounds[rows, 0]
            kept.append((rows[may_reach], columns[may_reach], upper[may_reach]))
        rows, columns, upper = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        self._candidates, self._num_candidates = [(rows, columns, upper)], len(rows)

    def _rescore(self, apply: Map) -> None:
        """Computes the exact cosines of all candidates and keeps the K best of each row."""
        if not self._num_candidates:
            return
        unsorted_rows, unsorted_columns, _ = self._candidates[0]
        self._candidates, self._num_candidates = [], 0
        order = np.argsort(unsorted_rows, kind="stable")
        rows, columns = (x[order].astype(np.int64) for x in (unsorted_rows, unsorted_columns))

        def rescore(part: slice) -> None:
            index = self.side.kept[rows[part]], self.other.kept[columns[part]]
            self._merge(rows[part], columns[part], exact_cosines(self.side, self.other, *index))

        list(apply(rescore, _slices_of_whole_rows(rows)))

    def _merge(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], sims: NDArray[np.float32]
    ) -> None:
        affected = rows[np.flatnonzero(np.diff(rows, prepend=-1))]
        all_rows = np.concatenate([np.repeat(affected, self.k), rows])
        all_columns = np.concatenate([self.neighbours[affected].ravel(), columns])
        all_sims = np.concatenate([self.similarities[affected].ravel(), sims])

        order = np.lexsort((all_columns, -all_sims, all_rows))
        starts = np.searchsorted(all_rows[order], affected)
        best = order[starts[:, None] + np.arange(self.k)]
        self.neighbours[affected] = all_columns[best]
        self.similarities[affected] = all_sims[best]
        # Exact cosines are bounds as well; the old ones may be of the same pairs.
        self._bounds[affected] = np.maximum(self._bounds[affected], all_sims[best][:, ::-1])


_Pairs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""Rows, rows of the other side, upper bounds of their cosines."""


def _slices_of_whole_rows(rows: NDArray[np.int64]) -> Iterator[slice]:
    """Cuts ascending `rows` into parts, no row in two of them."""
    start = 0
    while start < len(rows):
        last = rows[min(start + _RESCORED_PAIRS, len(rows)) - 1]
        stop = int(np.searchsorted(rows, last, side="right"))
        yield slice(start, stop)
        start = stop


def _keys(rows: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Returns integers in the order of row, then value."""
    bits = values.view(np.int32)
    # The bits of negative numbers are in reverse order.
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)
    keys: NDArray[np.int64] = (rows << 32) + (ordered + (1 << 31))
    return keys


def _bounds_of(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    ordered = ((keys & 0xFFFFFFFF) - (1 << 31)).astype(np.int32)
    return np.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).astype(np.int32).view(np.float32)
