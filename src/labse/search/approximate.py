"""Approximate nearest neighbours with faiss, and how many of the exact ones they are.

Takes: embeddings (N, D) and (M, D), in memory or mapped. Gives: neighbours whose similarities are
exact, and their recall on a sample.
Source: Johnson et al. 2017 (arXiv 1702.08734); Malkov & Yashunin 2016 (arXiv 1603.09320).

Whether it pays: docs/mining.md has what was measured, on which processor.
"""

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.runtime import OnProgress, require
from labse.search.knn import Neighbours, nearest_neighbours

__all__ = [
    "ApproximateNeighbours",
    "IndexKind",
    "approximate_neighbours",
    "equivalent_products",
]

IndexKind: TypeAlias = Literal["ivf", "ivf-sq", "ivf-pq", "hnsw"]
"""Lists of vectors as they are, in 8 bits a value, in 64 bytes a vector; or a graph."""

_CHUNK_ROWS = 16_384
_CANDIDATES = 8  # So many times k are looked at again.
_SAMPLE_ROWS = 256
_TRAINING_ROWS_PER_LIST = 64  # faiss warns below 39.
_TRAINING_ROUNDS = 10  # Of k-means: 25 in faiss, without the choice of k that a search makes.
_NUM_PROBES = 64  # A share of all lists would take as long as the exact search at any size.
_NUM_CANDIDATES = 128
_BUILD_CANDIDATES = 80
_NUM_LINKS = 32
_ROW_COST = 6  # Of a vector that is looked at alone, in products of many (docs/mining.md).


@dataclass(frozen=True, slots=True)
class ApproximateNeighbours:
    """Neighbours, and the share of the exact ones among them on a sample of queries."""

    found: Neighbours
    recall: float
    num_sampled: int


def approximate_neighbours(
    queries: NDArray[np.floating],
    corpus: NDArray[np.floating],
    k: int,
    *,
    index: IndexKind = "ivf",
    effort: int | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ApproximateNeighbours:
    """Searches an index of `corpus` for each of `queries`; similarities are computed anew.

    A row for which the index finds fewer than k is searched exactly, as is a corpus too small for
    lists.

    Args:
        queries: (N, D) rows that are not zero.
        corpus: (M, D) likewise.
        effort: lists that a query looks into, or candidates in the graph; None: 64, or 128.
        seed: of the rows that train the index, and of the sample for the recall.
        on_progress: called with the queries done and their number.

    Raises:
        LabseError, ValueError: see `nearest_neighbours`.
        ResourceError: faiss is not installed.
    """
    generator = np.random.default_rng(seed)
    num_sampled = min(_SAMPLE_ROWS, len(queries))
    sample = np.sort(generator.choice(len(queries), num_sampled, replace=False))
    exact = nearest_neighbours(np.asarray(queries[sample]), corpus, k)
    if len(corpus) < 4 * _TRAINING_ROWS_PER_LIST:
        return ApproximateNeighbours(nearest_neighbours(queries, corpus, k), 1.0, num_sampled)

    built = _build(_load_faiss(), index, corpus, effort, generator)
    width = min(k, len(corpus))
    neighbours = np.empty((len(queries), width), np.int64)
    similarities = np.empty((len(queries), width), np.float32)
    for start in range(0, len(queries), _CHUNK_ROWS):
        rows = slice(start, min(start + _CHUNK_ROWS, len(queries)))
        units = _units(queries[rows])
        _, candidates = built.search(units, min(_CANDIDATES * k, len(corpus)))
        neighbours[rows], similarities[rows] = _rank(units, corpus, candidates, width)
        if on_progress:
            on_progress(rows.stop, len(queries))

    if len(missing := np.flatnonzero((neighbours < 0).any(axis=1))):
        searched = nearest_neighbours(np.asarray(queries[missing]), corpus, k)
        neighbours[missing], similarities[missing] = searched.neighbours, searched.similarities
    hits = [np.isin(a, b).sum() for a, b in zip(exact.neighbours, neighbours[sample], strict=True)]
    recall = float(np.sum(hits)) / max(1, exact.neighbours.size)
    return ApproximateNeighbours(Neighbours(neighbours, similarities), recall, num_sampled)


def _load_faiss() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SWIG's types have no __module__ (a DeprecationWarning).
        return require("faiss", "ann")


def _build(
    faiss: ModuleType,
    kind: IndexKind,
    corpus: NDArray[np.floating],
    effort: int | None,
    generator: np.random.Generator,
) -> Any:  # noqa: ANN401 - a type of a C++ module.
    num_lists = _num_lists(len(corpus))
    name = {
        "ivf": f"IVF{num_lists},Flat",
        "ivf-sq": f"IVF{num_lists},SQ8",
        "ivf-pq": f"IVF{num_lists},PQ{_num_codes(corpus.shape[1])}x8",
        "hnsw": f"HNSW{_NUM_LINKS},Flat",
    }[kind]
    index = faiss.index_factory(corpus.shape[1], name, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        index.hnsw.efConstruction = _BUILD_CANDIDATES
        index.hnsw.efSearch = effort or _NUM_CANDIDATES
    else:
        # PQ learns 256 centres for each code.
        num_training = max(256 * 40 if kind == "ivf-pq" else 0, num_lists * _TRAINING_ROWS_PER_LIST)
        num_training = min(len(corpus), num_training)
        chosen = np.sort(generator.choice(len(corpus), num_training, replace=False))
        index.train(_units(corpus[chosen]))
        index.nprobe = min(effort or _NUM_PROBES, num_lists)
    for start in range(0, len(corpus), _CHUNK_ROWS):
        index.add(_units(corpus[start : start + _CHUNK_ROWS]))
    return index


def _num_lists(num_rows: int) -> int:
    return int(np.clip(4 * np.sqrt(num_rows), 1, max(1, num_rows // _TRAINING_ROWS_PER_LIST)))


def equivalent_products(
    index: IndexKind, num_queries: int, num_rows: int, effort: int | None = None
) -> int:
    """Returns of how many products the exact search would take as long as this one, about."""
    if index == "hnsw":
        per_query = _NUM_LINKS * (effort or _NUM_CANDIDATES)
        return _ROW_COST * (num_queries * per_query + num_rows * _NUM_LINKS * _BUILD_CANDIDATES)
    num_lists = _num_lists(num_rows)
    num_seen = num_lists + min(effort or _NUM_PROBES, num_lists) * num_rows // num_lists
    training = _TRAINING_ROUNDS * min(num_rows, num_lists * _TRAINING_ROWS_PER_LIST) * num_lists
    return training + num_rows * num_lists + _ROW_COST * num_queries * num_seen


def _num_codes(num_dimensions: int) -> int:
    return max(
        codes for codes in range(1, min(64, num_dimensions) + 1) if not num_dimensions % codes
    )


def _units(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    exact = np.asarray(rows, np.float64)
    units: NDArray[np.float32] = (exact / np.linalg.norm(exact, axis=1, keepdims=True)).astype(
        np.float32
    )
    return units


def _rank(
    units: NDArray[np.float32],
    corpus: NDArray[np.floating],
    candidates: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Computes the cosines of candidates and keeps the k best, the lower index on a tie."""
    similarities = np.full(candidates.shape, -np.inf, np.float32)
    for start in range(0, len(units), 1024):
        rows = slice(start, start + 1024)
        for column in range(candidates.shape[1]):
            chosen = candidates[rows, column]
            others = _units(corpus[np.maximum(chosen, 0)]).astype(np.float64)
            cosines = np.einsum("nd,nd->n", units[rows].astype(np.float64), others)
            similarities[rows, column] = np.where(chosen >= 0, cosines, -np.inf)
    order = np.lexsort((candidates, -similarities), axis=1)[:, :k]
    return (
        np.take_along_axis(candidates, order, axis=1),
        np.take_along_axis(similarities, order, axis=1),
    )
