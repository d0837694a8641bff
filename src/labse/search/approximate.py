"""Approximate nearest neighbours with faiss, and how many of the exact ones they are.

Takes: vectors (N, D) and (M, D) in `.npy` files. Gives: neighbours whose similarities are exact,
and their recall on a sample.
Source: Johnson et al. 2017 (arXiv 1702.08734); Malkov & Yashunin 2016 (arXiv 1603.09320).

One quantizer is trained on a sample; each shard of the corpus fills lists of its own, which each
shard of the queries is searched in. Whether it pays: docs/mining.md has what was measured.
"""

import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from labse.cluster.run import find_result, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.files.atomic import write_atomic
from labse.files.npy import load_array, release_map
from labse.files.stage import Result, Stage
from labse.runtime import OnProgress, require
from labse.search.grid import cut_rows, join_merged, merge_tasks, write_cell
from labse.search.knn import Neighbours, nearest_neighbours

__all__ = [
    "ApproximateNeighbours",
    "IndexKind",
    "approximate_neighbours",
    "equivalent_products",
    "fill_step",
    "find_step",
    "train_step",
]

IndexKind: TypeAlias = Literal["ivf", "ivf-sq", "ivf-pq", "hnsw"]
"""Lists of vectors as they are, in 8 bits a value, in 64 bytes a vector; or a graph."""

_CHUNK_ROWS = 16_384
_QUERY_ROWS = 1 << 18  # Of a task.
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
    queries: Path,
    corpus: Path,
    k: int,
    stage: Stage,
    *,
    name: str = "forward",
    index: IndexKind = "ivf",
    effort: int | None = None,
    seed: int = 0,
    memory_bytes: int = 1 << 30,
    workers: int | Executor = 1,
    on_progress: OnProgress | None = None,
) -> ApproximateNeighbours:
    """Searches indexes of `corpus` for each of `queries`; similarities are computed anew.

    A row for which the indexes find fewer than k is searched exactly, as is a corpus too small for
    lists.

    Args:
        queries: (N, D) rows that are not zero, in a `.npy` file.
        corpus: (M, D) likewise.
        k: neighbours of a row.
        stage: where the work is; its key names the inputs.
        name: of this search in the stage.
        index: what each shard of the corpus becomes.
        effort: lists that a query looks into, or candidates in the graph; None: 64, or 128.
        seed: of the rows that train the quantizer, and of the sample for the recall.
        memory_bytes: of an index.
        workers: processes, of which 1 is this one with all its threads; or an executor.
        on_progress: called with the queries done and their number.

    Raises:
        LabseError, ValueError: see `nearest_neighbours`.
        ResourceError: faiss is not installed.
    """
    query_rows, corpus_rows = load_array(queries), load_array(corpus)
    num_queries, num_rows = len(query_rows), len(corpus_rows)
    sample = np.random.default_rng(seed).choice(
        num_queries, min(_SAMPLE_ROWS, num_queries), replace=False
    )
    sample.sort()
    exact = nearest_neighbours(np.asarray(query_rows[sample]), corpus_rows, k)
    if num_rows < 4 * _TRAINING_ROWS_PER_LIST:
        found = nearest_neighbours(query_rows, corpus_rows, k)
        return ApproximateNeighbours(found, 1.0, len(sample))

    # Train, fill the lists of each shard, search each in each, and merge, unless that is done.
    size = max(_CHUNK_ROWS, memory_bytes // _row_bytes(index, corpus_rows.shape[1]))
    shards = cut_rows(num_rows, size)
    asked = cut_rows(num_queries, _QUERY_ROWS)
    folder = stage.folder / "index" / name
    width = min(k, num_rows)

    def cell(rows: tuple[int, int], other: tuple[int, int]) -> Path:
        return folder / f"found-{rows[0]:012}-{rows[1]:012}-{other[0]:012}-{other[1]:012}.npz"

    merges = merge_tasks(stage, name, asked, shards, cell, width)
    if any(find_result(task, stage) is None for task in merges):
        num_lists = count_lists(num_rows, corpus_rows.shape[1], memory_bytes)
        trained = folder / "trained.faiss"
        settings = {"index": index, "num_lists": num_lists, "seed": seed}
        places = {"corpus": str(corpus), "out": str(trained)}
        train = Task(f"train/{name}", train_step, settings, "", (str(trained),), places)
        fills = _fill_tasks(name, folder, corpus, shards, settings)
        finds = _find_tasks(name, queries, fills, list(product(asked, shards)), cell, k, effort)
        num_done = 0

        def add(result: Result) -> None:
            nonlocal num_done
            num_done += cast("int", result["num_rows"])
            if on_progress:
                on_progress(num_done // len(shards), num_queries)

        for tasks, on_result in (([train], None), (fills, None), (finds, add)):
            run_tasks(tasks, stage, workers=workers, on_result=on_result or (lambda _: None))
    run_tasks(merges, stage, workers=workers)
    shutil.rmtree(folder, ignore_errors=True)

    # Rows whose lists were too short are searched exactly; then the sample tells the recall.
    found = _complete(join_merged(merges, stage, name), query_rows, corpus_rows, width)
    hits = [
        np.isin(a, b).sum() for a, b in zip(exact.neighbours, found.neighbours[sample], strict=True)
    ]
    recall = float(np.sum(hits)) / max(1, exact.neighbours.size)
    return ApproximateNeighbours(found, recall, len(sample))


def train_step(corpus: str, out: str, *, index: IndexKind, num_lists: int, seed: int) -> Result:
    """Writes an index without rows, whose quantizer has seen a sample of `corpus`."""
    faiss, rows = _load_faiss(), load_array(corpus)
    name = {
        "ivf": f"IVF{num_lists},Flat",
        "ivf-sq": f"IVF{num_lists},SQ8",
        "ivf-pq": f"IVF{num_lists},PQ{_num_codes(rows.shape[1])}x8",
        "hnsw": f"HNSW{_NUM_LINKS},Flat",
    }[index]
    built = faiss.index_factory(rows.shape[1], name, faiss.METRIC_INNER_PRODUCT)
    if index != "hnsw":
        # PQ learns 256 centres for each code.
        num_training = max(
            256 * 40 if index == "ivf-pq" else 0, num_lists * _TRAINING_ROWS_PER_LIST
        )
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(rows), min(len(rows), num_training), replace=False)
        built.train(_units(rows[np.sort(chosen)]))
    _write_index(faiss, built, out)
    return {"num_lists": num_lists}


def fill_step(trained: str, corpus: str, out: str, *, rows: Sequence[int]) -> Result:
    """Writes a trained index with the rows of one shard of `corpus`, numbered from its first."""
    faiss, all_rows = _load_faiss(), load_array(corpus)
    index = faiss.read_index(trained)
    if hasattr(index, "hnsw"):
        index.hnsw.efConstruction = _BUILD_CANDIDATES
    first, last = rows
    for start in range(first, last, _CHUNK_ROWS):
        index.add(_units(all_rows[start : min(start + _CHUNK_ROWS, last)]))
        release_map(all_rows)
    _write_index(faiss, index, out)
    return {"num_rows": last - first}


def find_step(
    queries: str,
    corpus: str,
    index: str,
    out: str,
    *,
    direction: str,
    query_rows: Sequence[int],
    rows: Sequence[int],
    k: int,
    effort: int | None,
) -> Result:
    """Writes the neighbours of a shard of `queries` among those that an index of a shard tells.

    Where it tells fewer, what is missing has similarity -infinity.
    """
    faiss = _load_faiss()
    shard, asked = load_array(corpus)[slice(*rows)], load_array(queries)[slice(*query_rows)]
    filled = faiss.read_index(index)
    if hasattr(filled, "hnsw"):
        filled.hnsw.efSearch = effort or _NUM_CANDIDATES
    else:
        filled.nprobe = min(effort or _NUM_PROBES, filled.nlist)
    width = min(k, len(shard))
    neighbours = np.empty((len(asked), width), np.int64)
    similarities = np.empty((len(asked), width), np.float32)
    for start in range(0, len(asked), _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        units = _units(asked[part])
        _, candidates = filled.search(units, min(_CANDIDATES * k, len(shard)))
        neighbours[part], similarities[part] = _rank(units, shard, candidates, width)
        release_map(shard)
    write_cell(out, {direction: Neighbours(np.maximum(neighbours, 0), similarities)})
    return {"num_rows": len(asked)}


def count_lists(num_rows: int, num_dimensions: int, memory_bytes: int = 1 << 30) -> int:
    """Returns how many lists suit a corpus, as far as the rows that train them fit."""
    most = max(1, min(num_rows, memory_bytes // (4 * num_dimensions)) // _TRAINING_ROWS_PER_LIST)
    return int(np.clip(4 * np.sqrt(num_rows), 1, most))


def equivalent_products(
    index: IndexKind, num_queries: int, num_rows: int, effort: int | None = None
) -> int:
    """Returns of how many products the exact search would take as long as this one, about."""
    if index == "hnsw":
        per_query = _NUM_LINKS * (effort or _NUM_CANDIDATES)
        return _ROW_COST * (num_queries * per_query + num_rows * _NUM_LINKS * _BUILD_CANDIDATES)
    num_lists = count_lists(num_rows, 1)
    num_seen = num_lists + min(effort or _NUM_PROBES, num_lists) * num_rows // num_lists
    training = _TRAINING_ROUNDS * min(num_rows, num_lists * _TRAINING_ROWS_PER_LIST) * num_lists
    return training + num_rows * num_lists + _ROW_COST * num_queries * num_seen


def _fill_tasks(
    name: str,
    folder: Path,
    corpus: Path,
    shards: Sequence[tuple[int, int]],
    settings: Mapping[str, object],
) -> list[Task]:
    tasks = []
    for rows in shards:
        out = str(folder / f"filled-{rows[0]:012}-{rows[1]:012}.faiss")
        trained = str(folder / "trained.faiss")
        places = {"trained": trained, "corpus": str(corpus), "out": out}
        told = f"fill/{name}-{rows[0]:012}-{rows[1]:012}"
        tasks.append(Task(told, fill_step, {"rows": rows}, str(settings), (out,), places))
    return tasks


def _find_tasks(
    name: str,
    queries: Path,
    fills: Sequence[Task],
    pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]],
    cell: Callable[[tuple[int, int], tuple[int, int]], Path],
    k: int,
    effort: int | None,
) -> list[Task]:
    by_rows = {tuple(cast("Sequence[int]", fill.arguments["rows"])): fill for fill in fills}
    tasks = []
    for query_rows, rows in pairs:
        fill, out = by_rows[rows], str(cell(query_rows, rows))
        arguments: dict[str, object] = {"direction": name, "query_rows": query_rows, "rows": rows}
        arguments |= {"k": k, "effort": effort}
        places = {"queries": str(queries), "corpus": fill.places["corpus"], "out": out}
        places |= {"index": fill.outputs[0]}
        told = f"find/{name}-{Path(out).stem}"
        tasks.append(Task(told, find_step, arguments, fill.inputs, (out,), places))
    return tasks


def _complete(
    found: Neighbours,
    queries: NDArray[np.floating],
    corpus: NDArray[np.floating],
    k: int,
) -> Neighbours:
    """Searches exactly for the rows of which fewer than k neighbours were found."""
    missing = [
        start + np.flatnonzero(~np.isfinite(found.similarities[start : start + _QUERY_ROWS, -1]))
        for start in range(0, len(queries), _QUERY_ROWS)
    ]
    if not len(rows := np.concatenate(missing)):
        return found
    exact = nearest_neighbours(np.asarray(queries[rows]), corpus, k)
    neighbours, similarities = np.array(found.neighbours), np.array(found.similarities)
    neighbours[rows], similarities[rows] = exact.neighbours, exact.similarities
    return Neighbours(neighbours, similarities)


def _row_bytes(index: IndexKind, num_dimensions: int) -> int:
    """Returns the memory of a row in an index: its code, its number, its links."""
    code = {"ivf-sq": num_dimensions, "ivf-pq": 64}.get(index, 4 * num_dimensions)
    return code + 8 + (8 * _NUM_LINKS if index == "hnsw" else 0)


def _load_faiss() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SWIG's types have no __module__ (a DeprecationWarning).
        return require("faiss", "ann")


def _write_index(faiss: ModuleType, index: Any, out: str) -> None:  # noqa: ANN401 - of C++.
    with write_atomic(out) as stream:
        faiss.write_index(index, stream.name)


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
