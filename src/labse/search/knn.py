"""Exact k nearest neighbours by cosine, in blocks of bounded memory.

Takes: embeddings (N, D), float16 or float32, in memory or memory-mapped; need not be unit rows.
Gives: neighbours and similarities that depend on neither the block size nor what multiplies.
Source: a matrix product of known error proposes (`labse.search.engine`), a float64 dot product
of the few candidates decides.

Dimensions: N, M rows of the two sides, D embedding, K neighbours.
"""

import importlib.util
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import release_map
from labse.runtime import OnProgress, has_fast_bfloat16, require, warn_of_emulation
from labse.search.crowded import decide_crowded
from labse.search.engine import Candidates, Engine, find_candidates
from labse.search.numpy_engine import NumpyEngine
from labse.search.short_rows import ShortRows, choose_short_rows
from labse.search.sides import Block, Side, check_side
from labse.search.top_k import TopK

__all__ = [
    "EngineName",
    "MutualNeighbours",
    "Neighbours",
    "build_engine",
    "mutual_neighbours",
    "nearest_neighbours",
]

EngineName: TypeAlias = Literal["auto", "numpy", "torch"]

_MEMORY_BYTES = 1 << 30
# Below, importing torch (seconds) costs more than its products save.
_TORCH_PRODUCTS = 1 << 28
_WAITING_BLOCKS = 8  # Ready for the threads: more would only hold memory.


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
    block_rows: int | None = None,
    memory_bytes: int = _MEMORY_BYTES,
    engine: EngineName = "auto",
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> Neighbours:
    """Finds the k rows of `corpus` (M, D) with the highest cosine to each of `queries` (N, D).

    K is k, or M if the corpus is smaller. The inputs are not changed, and of those that are
    memory-mapped little is held.

    Args:
        queries: (N, D) floats.
        corpus: (M, D) floats.
        block_rows: rows that are multiplied at once with as many of the other side; None: as many
            as suit the engine.
        memory_bytes: for rows that are ready to be multiplied; beside it stand inputs that are in
            memory, about 7 * block_rows**2 bytes a thread, and 300 + 28 * K bytes a row.
        engine: "torch" multiplies in bfloat16, "numpy" in float32, "auto" is torch where that is
            faster; the result is the same.
        device: where torch multiplies; "auto" is a GPU if there is one.
        on_progress: called with the products done and their number, N * M or fewer with copies.

    Raises:
        ValueError: not two-dimensional floats, unequal D, or k, block_rows or memory_bytes below 1.
        LabseError: a row with NaN or infinity, or of zeros only, which has no direction.
        ResourceError: torch or the device is asked for and not there.
    """
    sides = _check_sides(queries, corpus, ("queries", "corpus"), k)
    plan = _plan(sides, k, block_rows, memory_bytes, engine, device, on_progress, both=False)
    return _search(*sides, plan, both=False)[0]


def mutual_neighbours(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    k: int,
    *,
    block_rows: int | None = None,
    memory_bytes: int = _MEMORY_BYTES,
    engine: EngineName = "auto",
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> MutualNeighbours:
    """Finds the neighbours of both sides among each other with one matrix product, not two.

    See `nearest_neighbours` for arguments, memory and errors.
    """
    sides = _check_sides(source, target, ("source", "target"), k)
    plan = _plan(sides, k, block_rows, memory_bytes, engine, device, on_progress, both=True)
    return MutualNeighbours(*_search(*sides, plan, both=True))


@dataclass(frozen=True, slots=True)
class _Plan:
    k: int
    block_rows: int
    memory_bytes: int
    engine: Engine
    short_rows: ShortRows | None
    on_progress: OnProgress | None


def _plan(
    sides: tuple[Side, Side],
    k: int,
    block_rows: int | None,
    memory_bytes: int,
    engine: EngineName,
    device: str,
    on_progress: OnProgress | None,
    *,
    both: bool,
) -> _Plan:
    for name, value in (("block_rows", block_rows), ("memory_bytes", memory_bytes)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    built = build_engine(engine, len(sides[0].kept) * len(sides[1].kept), device)
    # A product in bfloat16 is as fast as one of short rows in float32.
    is_numpy = built.name == NumpyEngine.name
    short_rows = choose_short_rows(sides, k, both=both) if is_numpy else None
    return _Plan(k, block_rows or built.block_rows, memory_bytes, built, short_rows, on_progress)


def _check_sides(
    left: NDArray[np.floating], right: NDArray[np.floating], names: tuple[str, str], k: int
) -> tuple[Side, Side]:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
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
    return check_side(left, names[0], k), check_side(right, names[1], k)


def _search(
    source: Side, target: Side, plan: _Plan, *, both: bool
) -> tuple[Neighbours, Neighbours]:
    forward = TopK(source, target, plan.k)
    backward = TopK(target, source, plan.k if both else 0)
    num_done, num_products = 0, len(source.kept) * len(target.kept)
    running: deque[Future[int]] = deque()

    def wait_for_oldest() -> int:
        done = num_done + running.popleft().result()
        if plan.on_progress:
            plan.on_progress(done, num_products)
        return done

    with plan.engine.workers() as pool:
        # Each thread compares blocks of its own; few wait, for they hold memory.
        for blocks in _pair_blocks(source, target, plan):
            if len(running) == _WAITING_BLOCKS:
                num_done = wait_for_oldest()
            running.append(pool.submit(_compare_blocks, *blocks, forward, backward, plan))
        while running:
            num_done = wait_for_oldest()

        # What may be near enough is known: compute exact cosines.
        for best in (forward, backward):
            best.finish(pool.map)
    return Neighbours(*forward.expand()), Neighbours(*backward.expand())


def _pair_blocks(source: Side, target: Side, plan: _Plan) -> Iterator[tuple[Block, Block]]:
    """Pairs each block of one side with each of the other.

    The rows of a panel meet each row of the other side while both are ready: a side that does not
    fit into memory is read once a panel, not once a block.
    """
    row_bytes = source.rows.shape[1] * plan.engine.value_bytes
    row_bytes += plan.short_rows.num_values * 4 if plan.short_rows else 0
    panel_rows = max(plan.block_rows, plan.memory_bytes // max(1, 2 * row_bytes))

    def blocks(side: Side, start: int, stop: int) -> Iterator[Block]:
        shorten = plan.short_rows.shorten if plan.short_rows else None
        return side.blocks(plan.engine, plan.block_rows, start, stop, shorten)

    fits = len(target.kept) <= panel_rows
    ready = list(blocks(target, 0, panel_rows)) if fits else []
    for start in range(0, len(source.kept), panel_rows):
        panel = list(blocks(source, start, start + panel_rows))
        for target_block in ready or blocks(target, 0, len(target.kept)):
            for source_block in panel:
                yield source_block, target_block
            release_map(target.rows)
            release_map(source.rows)


def _compare_blocks(
    source: Block, target: Block, forward: TopK, backward: TopK, plan: _Plan
) -> int:
    """Multiplies two blocks, adds the candidates of both, and returns the number of products."""
    bounds = forward.lower_bounds(source), backward.lower_bounds(target) if backward.k else None
    found = plan.short_rows.find(source, target, bounds) if plan.short_rows else None
    if found is None:
        found = _find_candidates(source, target, forward, backward, plan.engine)
    if plan.engine.name != NumpyEngine.name and found is None:
        # Too many within the error of the products: float32 is 30,000 times as precise.
        exact = NumpyEngine()
        source = Block(source.start, source.index, exact.load(forward.side.units(source.index)))
        target = Block(target.start, target.index, exact.load(forward.other.units(target.index)))
        found = _find_candidates(source, target, forward, backward, exact)
    if found is None:
        sides, k = (forward.side, forward.other), (forward.k, backward.k)
        found = decide_crowded(sides, (source, target), bounds, k)
    forward.add_candidates(source, target, found[0])
    if backward.k:
        backward.add_candidates(target, source, found[1])
    return len(source.index) * len(target.index)


def _find_candidates(
    source: Block, target: Block, forward: TopK, backward: TopK, engine: Engine
) -> list[Candidates] | None:
    """Returns those of both sides, None where there are too many."""
    products = engine.multiply(source.operand, target.operand)
    bounds = forward.lower_bounds(source)
    found = [find_candidates(products, 0, bounds, forward.k, len(target.index))]
    if backward.k and not found[0].is_crowded:
        bounds = backward.lower_bounds(target)
        found.append(find_candidates(products, 1, bounds, backward.k, len(source.index)))
    return None if any(pairs.is_crowded for pairs in found) else found


def build_engine(name: EngineName, num_products: int, device: str = "cpu") -> Engine:
    """Chooses what multiplies: "auto" is torch where it is fast, installed and worth its import.

    Args:
        name: "numpy" multiplies in float32, "torch" in bfloat16.
        device: for torch, such as "cuda"; "auto" is that if there is one, else the CPU.

    Raises:
        ResourceError: torch is asked for and not installed, or the device is not there.
    """
    may_be_numpy = name == "auto" and device in ("auto", "cpu")
    if name == "numpy" or (may_be_numpy and num_products < _TORCH_PRODUCTS):
        return NumpyEngine()
    if importlib.util.find_spec("torch") is None:
        if may_be_numpy:
            return NumpyEngine()
        require("torch", "train")
    from labse.search.torch_engine import TorchEngine, choose_device

    if device == "auto":
        device = choose_device()
    if may_be_numpy and device == "cpu" and not has_fast_bfloat16():
        return NumpyEngine()
    built = TorchEngine(device)
    warn_of_emulation(device, "the engine numpy")
    return built
