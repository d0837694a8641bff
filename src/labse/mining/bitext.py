"""Bitext mining: which sentences of two corpora are translations of each other.

Takes: two embedded corpora (N, D) and (M, D), in memory or as embedded sides.
Gives: pairs with margin scores, best first; equal scores by source, then target index.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 3.2, also for the names of the
retrievals.
"""

import logging
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from labse.cluster.tasks import Executor
from labse.errors import LabseError, UsageError
from labse.files.npy import release_map
from labse.mining.margin import Margin, margin_scores
from labse.mining.sides import EmbeddedSides
from labse.runtime import OnProgress, require
from labse.search.approximate import IndexKind, approximate_neighbours, equivalent_products
from labse.search.grid import search_grid
from labse.search.knn import MutualNeighbours, Neighbours, build_engine, mutual_neighbours

__all__ = [
    "IndexChoice",
    "MinedIndices",
    "MinedPair",
    "MiningOptions",
    "Retrieval",
    "SearchOptions",
    "choose_index",
    "count_products",
    "find_neighbours",
    "mine_bitext",
    "neighbourhood_means",
    "select_pairs",
    "warn_of_small_corpora",
]

_LOGGER = logging.getLogger(__name__)
_LARGEST = float(np.finfo(np.float32).max)
# 2,000,000 x 2,000,000: two to four hours on two cores.
_EXACT_PRODUCTS = 4 * 10**12
_LEAST_MEMORY = 16 << 20
_BLOCK_ROWS = 1 << 16

Retrieval: TypeAlias = Literal["forward", "backward", "intersect", "max"]
IndexChoice: TypeAlias = Literal["auto", "exact"] | IndexKind


@dataclass(frozen=True, slots=True)
class MiningOptions:
    """How pairs are scored and chosen; all k neighbours of a row compete by margin.

    Attributes:
        k: neighbours on each side (4 in the paper); a smaller corpus gives all its rows.
        margin: see `margin_scores`; a pair without a ratio is never mined.
        min_score: keeps pairs with at least this margin score, in every retrieval; None keeps all.
        retrieval: "forward" takes the best target of each source, "backward" the best source of
            each target, "intersect" the pairs that are both, "max" the best of either while both
            sentences are still free.
        rerank: orders the pairs by a learnt score, which compares words and lengths too; see
            `labse.mining.rerank`.
        min_rerank_score: keeps pairs with at least this one, from 0 to 1; it implies `rerank`.

    Raises:
        ValueError: one of them is out of range.
    """

    k: int = 4
    margin: Margin = "ratio"
    min_score: float | None = None
    retrieval: Retrieval = "intersect"
    rerank: bool = False
    min_rerank_score: float | None = None

    def __post_init__(self) -> None:
        """Refuses a wrong option before hours of encoding or search."""
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")
        if self.min_score is not None and math.isnan(self.min_score):
            raise ValueError("min_score must be a number, not NaN")
        for name, value, choices in (
            ("margin", self.margin, get_args(Margin)),
            ("retrieval", self.retrieval, get_args(Retrieval)),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        if self.min_rerank_score is not None and not 0 <= self.min_rerank_score <= 1:
            raise ValueError(f"min_rerank_score must be 0 to 1, not {self.min_rerank_score}")
        if self.is_reranked and self.margin != "ratio":
            raise ValueError(f"rerank was learnt with the margin ratio, not with {self.margin}")
        if self.is_reranked and self.k == 1:
            raise ValueError("rerank needs k of 2 or more; it was learnt with 4")

    @property
    def is_reranked(self) -> bool:
        """Whether pairs are ordered by more than their margin."""
        return self.rerank or self.min_rerank_score is not None


@dataclass(frozen=True, slots=True)
class MinedPair:
    """A source row and a target row found to be translations."""

    source_index: int
    target_index: int
    margin_score: float


@dataclass(frozen=True, slots=True)
class MinedIndices:
    """Pairs as columns of (P,) row numbers and margin scores; None where nothing reranks them."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    scores: NDArray[np.float32]
    rerank_scores: NDArray[np.float32] | None = None

    def swapped(self) -> "MinedIndices":
        """Exchanges the sides."""
        return MinedIndices(self.target, self.source, self.scores, self.rerank_scores)

    def take(self, index: NDArray[np.int64]) -> "MinedIndices":
        """Returns some of the pairs."""
        reranked = None if self.rerank_scores is None else self.rerank_scores[index]
        return MinedIndices(self.source[index], self.target[index], self.scores[index], reranked)

    def best_first(self) -> "MinedIndices":
        """Sorts by score, then source, then target."""
        return self.take(np.lexsort((self.target, self.source, -self.scores)))


def mine_bitext(
    source_embeddings: NDArray[np.floating],
    target_embeddings: NDArray[np.floating],
    *,
    k: int = 4,
    margin: Margin = "ratio",
    min_score: float | None = None,
    retrieval: Retrieval = "intersect",
) -> list[MinedPair]:
    """Mines pairs from two embedded corpora; see `MiningOptions`.

    Args:
        source_embeddings: (N, D), float16 or float32, memory-mapped or not; not changed.
        target_embeddings: (M, D), likewise.
        k: neighbours on each side.
        margin: formula of the score.
        min_score: least score of a pair.
        retrieval: which pairs are taken.

    Raises:
        ValueError: a wrong option or shape. LabseError: a row of NaN, infinity or only zeros.
    """
    options = MiningOptions(k, margin, min_score, retrieval)
    warn_of_small_corpora(len(source_embeddings), len(target_embeddings), k)
    found = mutual_neighbours(source_embeddings, target_embeddings, k)
    mined = select_pairs(found, options)
    columns = (mined.source.tolist(), mined.target.tolist(), mined.scores.tolist())
    return [MinedPair(*row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How neighbours are searched; all but an approximate index find the same ones.

    Attributes:
        memory_bytes: vectors that are searched at a time, or an index; program and results come on
            top.
        index: "exact" compares all with all, "auto" does so up to 4 * 10**12 products; the others,
            of faiss, are faster and miss some.
        device: where the exact search multiplies; "auto" is a GPU if there is one.
        nprobe: lists of an "ivf" index that a query looks into; None: 64. More find more.
        ef: candidates that a query keeps in the graph of "hnsw"; None: 128. More find more.
        workers: what runs the tasks of the search: 1 is this process with all its threads; an
            executor, such as `labse.RayExecutor`, has its own machines.
        gpus_per_task: GPUs, or the share of one, that an executor gives each of them.
    """

    memory_bytes: int = 1 << 30
    index: IndexChoice = "auto"
    device: str = "auto"
    nprobe: int | None = None
    ef: int | None = None
    workers: int | Executor = 1
    gpus_per_task: float = 0.0

    def __post_init__(self) -> None:
        """Checks that index, device and effort go together.

        Raises:
            UsageError: an index is to be searched on a GPU, an effort is for another index, or too
                little memory to search with.
        """
        for name, value, start in (("nprobe", self.nprobe, "ivf"), ("ef", self.ef, "hnsw")):
            if value is not None and not self.index.startswith(start):
                raise UsageError(f"--{name} is for --index {start}, not for {self.index}")
            if value is not None and value < 1:
                raise UsageError(f"--{name} {value}: give at least 1")
        if self.memory_bytes < _LEAST_MEMORY:
            raise UsageError(
                f"--memory {self.memory_bytes >> 20}M: give at least 16M; with less, files are "
                "read again and again"
            )
        if self.device not in ("auto", "cpu") and self.index not in ("auto", "exact"):
            raise UsageError(
                f"--device {self.device} is for --index exact; {self.index} searches on the CPU"
            )
        if self.gpus_per_task and self.workers == 1:
            raise UsageError("--gpus-per-task is for the tasks of --cluster")
        if self.gpus_per_task and (self.device == "cpu" or self.index not in ("auto", "exact")):
            raise UsageError("--gpus-per-task is for --index exact, and not for --device cpu")

    @property
    def effort(self) -> int | None:
        """What the index takes; None is its default."""
        return self.nprobe or self.ef

    def check_device(self) -> None:
        """Refuses a device or an index that is not there, before hours of other work.

        Raises:
            ResourceError: torch, faiss or the device is missing.
        """
        if self.index not in ("auto", "exact"):
            require("faiss", "ann")
        if self.device not in ("auto", "cpu") and self.workers == 1:
            build_engine("torch", 0, self.device)


def find_neighbours(
    sides: EmbeddedSides,
    k: int,
    options: SearchOptions | None = None,
    on_progress: OnProgress | None = None,
) -> MutualNeighbours:
    """Finds the neighbours of the distinct lines of both sides among each other.

    What is finished stays in the stage of the sides, shard by shard.

    Raises:
        LabseError: the sides have vectors of different widths.
        UsageError: so many lines need an index, and a device was chosen.
        ResourceError: an index is wanted and faiss is not installed, or the device is not there.
    """
    options = options or SearchOptions()
    source, target = sides.source.vectors, sides.target.vectors
    if not (len(source) and len(target)):
        return MutualNeighbours(*(_no_neighbours(len(rows)) for rows in (source, target)))
    if source.shape[1] != target.shape[1]:
        raise LabseError(
            f"the source has {source.shape[1]} dimensions and the target {target.shape[1]}; embed "
            "both with the same model"
        )

    # Compare all with all, shard by shard, as long as that takes hours and not days.
    index = choose_index(options.index, len(source), len(target))
    if index == "exact":
        return search_grid(
            sides.source.path,
            sides.target.path,
            k,
            sides.stage,
            memory_bytes=options.memory_bytes,
            device=options.device,
            workers=options.workers,
            gpus_per_task=options.gpus_per_task,
            on_progress=on_progress,
        )

    # Search an index for each direction, and tell how much it misses.
    if options.device not in ("auto", "cpu"):
        raise UsageError(
            f"{index} searches on the CPU, not on {options.device}; take --index exact"
        )
    if count_products(options, len(source), len(target)) >= len(source) * len(target):
        _LOGGER.warning(
            "index %s: for so few lines the exact search takes no longer and misses nothing", index
        )
    found = []
    for name, queries, corpus in (
        ("source", sides.source, sides.target),
        ("target", sides.target, sides.source),
    ):
        searched = approximate_neighbours(
            queries.path,
            corpus.path,
            k,
            sides.stage,
            name=f"{index}-{options.effort or 'auto'}-{name}",
            index=index,
            effort=options.effort,
            memory_bytes=options.memory_bytes,
            workers=options.workers,
            on_progress=on_progress,
        )
        _LOGGER.info(
            "index %s, %s side: recall %.3f of the exact neighbours (%d rows sampled)",
            *(index, name, searched.recall, searched.num_sampled),
        )
        found.append(searched.found)
    return MutualNeighbours(*found)


def choose_index(
    index: IndexChoice, num_source: int, num_target: int
) -> Literal["exact"] | IndexKind:
    """Resolves "auto": exact as long as that takes hours, not days, on a few cores."""
    if index != "auto":
        return index
    return "exact" if num_source * num_target <= _EXACT_PRODUCTS else "ivf-sq"


def count_products(options: SearchOptions, num_source: int, num_target: int) -> int:
    """Returns of how many products the exact search would take as long as these options do."""
    index = choose_index(options.index, num_source, num_target)
    if index == "exact":
        return num_source * num_target
    sides = (num_source, num_target), (num_target, num_source)
    return sum(equivalent_products(index, *sizes, options.effort) for sizes in sides)


def _no_neighbours(num_rows: int) -> Neighbours:
    return Neighbours(np.zeros((num_rows, 0), np.int64), np.zeros((num_rows, 0), np.float32))


def select_pairs(found: MutualNeighbours, options: MiningOptions) -> MinedIndices:
    """Chooses pairs among the neighbours of both sides, best first."""
    if not (len(found.forward.neighbours) and len(found.backward.neighbours)):
        nothing = np.zeros(0, np.int64)
        return MinedIndices(nothing, nothing, np.zeros(0, np.float32))
    source_means = neighbourhood_means(found.forward)
    target_means = neighbourhood_means(found.backward)
    forward = _best_pairs(found.forward, source_means, target_means, options.margin)
    backward = _best_pairs(found.backward, target_means, source_means, options.margin).swapped()

    candidates = _retrieve(forward, backward, options.retrieval)
    kept = np.isfinite(candidates.scores)
    if (min_score := options.min_score) is not None:
        # Inclusive in float32, the precision of a score; beyond its range none reaches the bound.
        kept &= candidates.scores >= np.float32(np.clip(min_score, -_LARGEST, _LARGEST))
        kept &= min_score <= _LARGEST
    mined = candidates.take(np.flatnonzero(kept)).best_first()
    return _free_pairs(mined) if options.retrieval == "max" else mined


def neighbourhood_means(found: Neighbours) -> NDArray[np.float64]:
    """Returns (N,) mean cosines of each row with its neighbours; 0 where there are none."""
    if not found.similarities.size:
        return np.zeros(len(found.similarities))
    means: NDArray[np.float64] = found.similarities.mean(axis=1, dtype=np.float64)
    return means


def warn_of_small_corpora(num_source: int, num_target: int, k: int) -> None:
    """Logs that k neighbours are much of a corpus: their mean says nothing of a neighbourhood."""
    smaller = min(num_source, num_target)
    size = f"{smaller} sentence{'' if smaller == 1 else 's'}"
    if k < smaller <= 2 * k:
        _LOGGER.warning(
            "k is %d, and one side has only %s: its neighbours are lines that happen to "
            "be there, so scores say little; take more text, or --margin absolute",
            *(k, size),
        )
    if 0 < smaller <= k:
        _LOGGER.warning(
            "k is %d, but one side has only %s: all of it counts as neighbours, so "
            "scores say little; lower k or take --margin absolute",
            *(k, size),
        )


def _best_pairs(
    found: Neighbours,
    means: NDArray[np.float64],
    other_means: NDArray[np.float64],
    margin: Margin,
) -> MinedIndices:
    """Pairs each row with its neighbour of the highest margin score, the lower index on a tie.

    The neighbours may be mapped: of them and their scores little is held at a time.
    """
    chosen = np.empty(len(means), np.int64)
    best = np.empty(len(means), np.float32)
    for start in range(0, len(means), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        neighbours, similarities = found.neighbours[rows], found.similarities[rows]
        scores = margin_scores(similarities, means[rows, None], other_means[neighbours], margin)
        best[rows] = scores.max(axis=1)
        tied = np.where(scores == best[rows, None], neighbours, np.iinfo(np.int64).max)
        chosen[rows] = tied.min(axis=1)
    for array in (found.neighbours, found.similarities):
        release_map(array)
    return MinedIndices(np.arange(len(means)), chosen, best)


def _retrieve(forward: MinedIndices, backward: MinedIndices, retrieval: Retrieval) -> MinedIndices:
    if retrieval == "forward":
        return forward
    if retrieval == "backward":
        return backward
    is_mutual = backward.source[forward.target] == forward.source
    if retrieval == "intersect":
        return forward.take(np.flatnonzero(is_mutual))
    # A mutual pair stands in both lists, with the same score: once is enough.
    rest = backward.take(np.flatnonzero(forward.target[backward.source] != backward.target))
    return MinedIndices(
        np.concatenate([forward.source, rest.source]),
        np.concatenate([forward.target, rest.target]),
        np.concatenate([forward.scores, rest.scores]),
    )


def _free_pairs(pairs: MinedIndices) -> MinedIndices:
    """Keeps, best first, each pair of which neither sentence is taken yet."""
    taken_sources: set[int] = set()
    taken_targets: set[int] = set()
    free: list[int] = []
    columns = zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)
    for position, (source, target) in enumerate(columns):
        if source not in taken_sources and target not in taken_targets:
            taken_sources.add(source)
            taken_targets.add(target)
            free.append(position)
    return pairs.take(np.array(free, dtype=np.int64))
