"""Exact k nearest neighbours by cosine, in blocks of bounded memory.

Takes: embeddings (N, D), float16 or float32, in memory or memory-mapped; need not be unit rows.
Gives: neighbours and similarities that depend on neither the block size nor what multiplies.
Source: a matrix product of known error proposes (`labse.search.products`), a float64 dot product
of the few candidates decides.

Dimensions: N, M rows of the two sides, D embedding, K neighbours.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.search.copies import find_copies, hash_rows
from labse.search.products import (
    Axis,
    Engine,
    EngineName,
    NumpyEngine,
    Operand,
    Pairs,
    build_engine,
    select_pairs,
)

__all__ = ["MutualNeighbours", "Neighbours", "mutual_neighbours", "nearest_neighbours"]

# 2048: 8 MiB of bfloat16 products stay in the cache, where a second look at them costs little.
_BLOCK_ROWS = 2048
_MEMORY_BYTES = 1 << 30
_CHUNK_PAIRS = 1024
_RELEASED_ROWS = 65_536  # Of a mapped file, 192 MiB of 768 float32.
_EXACT_ROWS = 256  # Stays in the cache: 1,100 at once took ten times longer.
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
    memory_bytes: int = _MEMORY_BYTES,
    engine: EngineName = "auto",
    device: str = "cpu",
    report: Callable[[int], None] | None = None,
) -> Neighbours:
    """Finds the k rows of `corpus` (M, D) with the highest cosine to each of `queries` (N, D).

    K is k, or M if the corpus is smaller. The inputs are not changed, and of those that are
    memory-mapped little is held.

    Args:
        queries: (N, D) floats.
        corpus: (M, D) floats.
        k: neighbours.
        block_rows: rows that are multiplied at once with as many of the other side.
        memory_bytes: for rows that are ready to be multiplied; beside it stand inputs that are in
            memory, about 13 * block_rows**2 bytes, and 50 + 24 * K bytes a row.
        engine: "torch" multiplies in bfloat16, "numpy" in float32, "auto" is torch where that is
            faster; the result is the same.
        device: where torch multiplies.
        report: called with the number of products done, of N * M in all, or fewer with copies.

    Raises:
        ValueError: not two-dimensional floats, unequal D, or k, block_rows or memory_bytes below 1.
        LabseError: a row with NaN or infinity, or of zeros only, which has no direction.
        ResourceError: torch or the device is asked for and not there.
    """
    sides = _prepare(queries, corpus, ("queries", "corpus"), k, block_rows)
    plan = _Plan(k, block_rows, memory_bytes, _build_engine(engine, sides, device), report)
    return _search(*sides, plan, both=False)[0]


def mutual_neighbours(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    k: int,
    *,
    block_rows: int = _BLOCK_ROWS,
    memory_bytes: int = _MEMORY_BYTES,
    engine: EngineName = "auto",
    device: str = "cpu",
    report: Callable[[int], None] | None = None,
) -> MutualNeighbours:
    """Finds the neighbours of both sides among each other with one matrix product, not two.

    See `nearest_neighbours` for arguments, memory and errors.
    """
    sides = _prepare(source, target, ("source", "target"), k, block_rows)
    plan = _Plan(k, block_rows, memory_bytes, _build_engine(engine, sides, device), report)
    return MutualNeighbours(*_search(*sides, plan, both=True))


@dataclass(frozen=True, slots=True)
class _Plan:
    k: int
    block_rows: int
    memory_bytes: int
    engine: Engine
    report: Callable[[int], None] | None

    def __post_init__(self) -> None:
        if self.memory_bytes < 1:
            raise ValueError(f"memory_bytes must be at least 1, not {self.memory_bytes}")


@dataclass(frozen=True, slots=True)
class _Block:
    """Some of the kept rows of one side: where they start, which they are, ready to multiply."""

    start: int
    index: NDArray[np.int64]
    operand: Operand

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + len(self.index))


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

    def units(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        is_range = len(index) and index[-1] - index[0] + 1 == len(index)
        rows = self.rows[index[0] : index[-1] + 1] if is_range else self.rows[index]
        units: NDArray[np.float32] = (rows / self.norms[index][:, None]).astype(np.float32)
        return units

    def blocks(self, plan: _Plan, start: int, stop: int) -> Iterator[_Block]:
        for first in range(start, min(stop, len(self.kept)), plan.block_rows):
            index = self.kept[first : min(first + plan.block_rows, stop)]
            yield _Block(first, index, plan.engine.load(self.units(index)))


def _build_engine(name: EngineName, sides: tuple[_Side, _Side], device: str) -> Engine:
    return build_engine(name, len(sides[0].kept) * len(sides[1].kept), device)


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
    hashes = np.empty(len(rows), dtype=np.uint64)
    for start in range(0, len(rows), block_rows):
        block = np.ascontiguousarray(rows[start : start + block_rows])
        norms[start : start + block_rows] = np.sqrt(_exact_dots(block, block))
        hashes[start : start + block_rows] = hash_rows(block)
        if start % _RELEASED_ROWS < block_rows:
            _release(rows)
    for row_number in np.flatnonzero(~np.isfinite(norms))[:1]:
        raise LabseError(
            f"{name}, row {row_number} (from 0): holds NaN or infinity; embed it again"
        )
    for row_number in np.flatnonzero(norms == 0)[:1]:
        raise LabseError(f"{name}, row {row_number} (from 0): all zeros, which has no direction")
    copies = find_copies(rows, hashes, k)
    return _Side(rows, norms, copies.first_copy, copies.kept)


def _search(
    source: _Side, target: _Side, plan: _Plan, *, both: bool
) -> tuple[Neighbours, Neighbours]:
    forward = _TopK(source, target, plan.k)
    backward = _TopK(target, source, plan.k if both else 0)
    done = 0
    row_bytes = source.rows.shape[1] * plan.engine.value_bytes
    panel_rows = max(plan.block_rows, plan.memory_bytes // max(1, 2 * row_bytes))
    # The rows of a panel meet each row of the other side while both are ready: a side that does
    # not fit into memory is read once a panel, not once a block.
    fits = len(target.kept) <= panel_rows
    ready = list(target.blocks(plan, 0, panel_rows)) if fits else []
    for start in range(0, len(source.kept), panel_rows):
        panel = list(source.blocks(plan, start, start + panel_rows))
        for target_block in ready or target.blocks(plan, 0, len(target.kept)):
            for source_block in panel:
                _meet(source_block, target_block, forward, backward, plan.engine)
                done += len(source_block.index) * len(target_block.index)
                if plan.report:
                    plan.report(done)
            _release(target.rows)
            _release(source.rows)
    return forward.expand(), backward.expand()


def _meet(
    source: _Block, target: _Block, forward: "_TopK", backward: "_TopK", engine: Engine
) -> None:
    """Multiplies two blocks and lets each take in its nearest of the other."""
    both = _propose(source, target, forward, backward, engine)
    if engine.name != NumpyEngine.name and any(pairs.is_crowded for pairs in both):
        # Too many within the error of the products: float32 is 30,000 times as precise.
        exact = NumpyEngine()
        source = _Block(source.start, source.index, exact.load(forward.side.units(source.index)))
        target = _Block(target.start, target.index, exact.load(forward.other.units(target.index)))
        both = _propose(source, target, forward, backward, exact)
    sides = ((forward, source, target), (backward, target, source))[: len(both)]
    list(_DIRECTIONS.map(_TopK.take_in, *zip(*sides, strict=True), both))


def _propose(
    source: _Block, target: _Block, forward: "_TopK", backward: "_TopK", engine: Engine
) -> list[Pairs]:
    products = engine.multiply(source.operand, target.operand)

    def select(axis: Axis, best: _TopK, block: _Block, other: _Block) -> Pairs:
        reached = best.similarities[block.place, -1]
        return select_pairs(products, axis, reached, best.k, len(other.index))

    calls: list[tuple[Axis, _TopK, _Block, _Block]] = [(0, forward, source, target)]
    if backward.k:
        calls.append((1, backward, target, source))
    return list(_DIRECTIONS.map(select, *zip(*calls, strict=True)))


def _release(rows: NDArray[np.floating]) -> None:
    """Lets go of what was read of a memory-mapped file; it stays in the system's cache."""
    base: object = rows
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and not rows.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)


class _TopK:
    """The best so far of the kept rows of one side, while the blocks of the other pass by."""

    def __init__(self, side: _Side, other: _Side, k: int) -> None:
        self.side, self.other = side, other
        self.k = min(k, len(other.rows))
        num_rows = len(side.kept)
        self.neighbours = np.full((num_rows, self.k), _NO_INDEX, dtype=np.int64)
        self.similarities = np.full((num_rows, self.k), -np.inf, dtype=np.float32)

    def take_in(self, block: _Block, other: _Block, pairs: Pairs) -> None:
        """Puts the best of the proposed pairs of two blocks in their places."""
        rows, columns = pairs.rows, pairs.columns
        # A row at a time may have more pairs than fit into memory as float64 rows.
        for part in _slices(len(rows), 64 * _CHUNK_PAIRS):
            similarities = self._exact_cosines(block.index[rows[part]], other.index[columns[part]])
            self._merge(rows[part] + block.start, columns[part] + other.start, similarities)

    def _exact_cosines(
        self, rows: NDArray[np.int64], others: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        cosines = np.empty(len(rows), np.float32)

        def fill(part: slice) -> None:
            dots = _exact_dots(self.side.rows[rows[part]], self.other.rows[others[part]])
            norms = self.side.norms[rows[part]] * self.other.norms[others[part]]
            cosines[part] = dots / norms

        list(_POOL.map(fill, _slices(len(rows), _CHUNK_PAIRS)))
        return cosines

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

    def expand(self) -> Neighbours:
        """Numbers the neighbours as in the input and gives the rows left out their first copy's."""
        rows = np.searchsorted(self.side.kept, self.side.first_copy)
        return Neighbours(self.other.kept[self.neighbours[rows]], self.similarities[rows])


def _exact_dots(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    dots: NDArray[np.float64] = np.einsum(
        "nd,nd->n", left.astype(np.float64), right.astype(np.float64)
    )
    return dots


def _slices(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))


# Two pools: a direction waits for its dot products, and must not hold their place.
_DIRECTIONS = ThreadPoolExecutor(2, thread_name_prefix="labse-direction")
_POOL = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="labse-knn")
