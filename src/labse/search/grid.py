"""Neighbours of two large sides: each shard of one with each of the other, then merged.

Takes: vectors (N, D) and (M, D) in `.npy` files. Gives: the neighbours of both sides among each
other, as maps of files.
Source: the k nearest of all are among the k nearest of each shard. A pair of shards is a task of
its own, which any machine can do that sees the files; a killed run goes on with those not done.

Dimensions: N, M rows of the two sides, D embedding, K neighbours.
"""

import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from labse.cluster.run import find_result, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.errors import LabseError
from labse.files.atomic import write_atomic
from labse.files.npy import load_array, save_array, write_array
from labse.files.stage import Result, Stage
from labse.runtime import OnProgress
from labse.search.knn import EngineName, MutualNeighbours, Neighbours, mutual_neighbours

__all__ = [
    "Grid",
    "cut_rows",
    "join_merged",
    "merge_cells",
    "merge_neighbours",
    "merge_tasks",
    "plan_grid",
    "row_bytes",
    "search_cell",
    "search_grid",
    "write_cell",
]

# A cell of 65,536 rows square of 768 dimensions takes 20 s on two cores.
_SHARD_ROWS = 1 << 16
# More would be small files by the thousand: what cells write grows with their number on a side.
_MAX_SHARDS = 64
_DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True, slots=True)
class Grid:
    """How two sides are cut: (first row, row after the last) of each shard."""

    source: list[tuple[int, int]]
    target: list[tuple[int, int]]


def row_bytes(k: int) -> int:
    """Returns what a row costs in memory beside its vector; see `nearest_neighbours`."""
    return 300 + 28 * k


def plan_grid(
    num_source: int, num_target: int, k: int, memory_bytes: int, shard_rows: int | None = None
) -> Grid:
    """Cuts two sides into shards; what the rows of two cost takes half of `memory_bytes`.

    The shards do not depend on the machines, so that others can go on with them.

    Args:
        num_source: N.
        num_target: M.
        k: neighbours of a row.
        memory_bytes: of a task.
        shard_rows: rows of a shard; None: 65,536, or up to a 64th of the side where the memory
            allows more.
    """
    most = memory_bytes // (4 * row_bytes(k))
    sides = []
    for num_rows in (num_source, num_target):
        rows = shard_rows or max(_SHARD_ROWS, min(most, -(-num_rows // _MAX_SHARDS)))
        sides.append(cut_rows(num_rows, rows))
    return Grid(*sides)


def cut_rows(num_rows: int, size: int) -> list[tuple[int, int]]:
    """Returns the first row, and the row after the last, of each shard of so many rows."""
    return [(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def search_grid(
    source: Path,
    target: Path,
    k: int,
    stage: Stage,
    *,
    memory_bytes: int,
    engine: EngineName = "auto",
    device: str = "auto",
    workers: int | Executor = 1,
    gpus_per_task: float = 0.0,
    shard_rows: int | None = None,
    on_progress: OnProgress | None = None,
) -> MutualNeighbours:
    """Searches as `mutual_neighbours` and keeps each finished pair of shards in `stage`.

    Args:
        source: (N, D) in a `.npy` file; N and M are not 0.
        target: (M, D) likewise.
        k: neighbours of a row.
        stage: where the work is; its key names the inputs.
        memory_bytes: of a task.
        engine, device: see `mutual_neighbours`.
        workers: processes, of which 1 is this one with all its threads; or an executor.
        gpus_per_task: GPUs, or the share of one, that an executor gives a task.
        shard_rows: see `plan_grid`.
        on_progress: called with the source rows done and their number.

    Raises:
        LabseError: see `nearest_neighbours`; or a file of an earlier call is damaged.
    """
    num_source, num_target = len(load_array(source)), len(load_array(target))
    grid = plan_grid(num_source, num_target, k, memory_bytes, shard_rows)
    num_done = 0

    def tell(num_products: int, _: int | None = None) -> None:
        if on_progress:
            on_progress((num_done + num_products) // num_target, num_source)

    def add(result: Result) -> None:
        nonlocal num_done
        num_done += cast("int", result["num_products"])
        tell(0)

    # Search each shard among each of the other side, unless all is merged already.
    merges = _merge_both(grid, stage, k)
    every = [*chain.from_iterable(merges.values())]
    unmerged = [task for task in every if find_result(task, stage) is None]
    if unmerged:
        places: dict[str, object] = {
            "source": str(source),
            "target": str(target),
            "engine": engine,
            "device": device,
            "memory_bytes": memory_bytes // 2,
        }
        places |= {"on_progress": tell} if workers == 1 else {}  # No other process can call it.
        needed = {cell for task in unmerged for cell in cast("list[str]", task.places["cells"])}
        cells = [cell for cell in _cell_tasks(grid, stage, k, places) if cell.outputs[0] in needed]
        run_tasks(
            [replace(cell, num_gpus=gpus_per_task, memory_bytes=memory_bytes) for cell in cells],
            stage,
            workers=workers,
            on_result=add,
        )

    # What the shards have found is merged; together it is as large as the vectors.
    run_tasks(every, stage, workers=workers)
    shutil.rmtree(_cell_folder(stage), ignore_errors=True)
    if on_progress:
        on_progress(num_source, num_source)
    return MutualNeighbours(*(join_merged(merges[name], stage, name) for name in _DIRECTIONS))


def search_cell(
    source: str,
    target: str,
    out: str,
    *,
    source_rows: Sequence[int],
    target_rows: Sequence[int],
    k: int,
    memory_bytes: int,
    engine: EngineName = "auto",
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Result:
    """Writes the neighbours of one shard of each side among each other, numbered from the first.

    Args:
        source: the `.npy` file of all source rows.
        target: likewise.
        out: the file to write.
        source_rows: the first row of the shard, and the one after the last.
        target_rows: likewise.
        k: neighbours of a row.
        memory_bytes, engine, device: see `mutual_neighbours`.
        on_progress: likewise; only for a call in this process.
    """
    found = mutual_neighbours(
        load_array(source)[slice(*source_rows)],
        load_array(target)[slice(*target_rows)],
        k,
        memory_bytes=memory_bytes,
        engine=engine,
        device=device,
        on_progress=on_progress,
    )
    write_cell(out, {"forward": found.forward, "backward": found.backward})
    sizes = (stop - start for start, stop in (source_rows, target_rows))
    return {"num_products": int(np.prod([*sizes], dtype=np.int64))}


def write_cell(out: str, found: Mapping[str, Neighbours]) -> None:
    """Writes the neighbours in one shard, by direction, for `merge_cells`."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for direction, side in found.items():
        # Numbers inside the shard: half the bytes of those in the whole side.
        arrays[direction] = side.neighbours.astype(np.uint32)
        arrays[f"{direction}_similarities"] = side.similarities
    with write_atomic(out) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def merge_cells(
    cells: Sequence[str], out: Sequence[str], *, direction: str, starts: Sequence[int], k: int
) -> Result:
    """Writes the K nearest of all shards of the other side for the rows of one shard.

    Args:
        cells: files of `search_cell`, in the order of the other side.
        out: the `.npy` files of neighbours and of similarities to write, in a folder of the stage.
        direction: "forward" for rows of the source, "backward" for those of the target.
        starts: the first row of each shard of the other side.
        k: neighbours of a row.
    """
    best = _read_cell(cells[0], direction, starts[0])
    for cell, start in zip(cells[1:], starts[1:], strict=True):
        found = _read_cell(cell, direction, start)
        best = merge_neighbours(best, found, k)
    arrays: tuple[NDArray[np.generic], ...] = best.neighbours, best.similarities
    for path, array in zip(out, arrays, strict=True):
        save_array(path, array)
    return {"num_rows": len(best.neighbours)}


def _cell_tasks(grid: Grid, stage: Stage, k: int, places: Mapping[str, object]) -> list[Task]:
    tasks = []
    for source_rows, target_rows in product(grid.source, grid.target):
        out = str(_cell_path(stage, source_rows, target_rows))
        arguments = {"source_rows": source_rows, "target_rows": target_rows, "k": k}
        name = f"search/{Path(out).stem}"
        tasks.append(Task(name, search_cell, arguments, "", (out,), {**places, "out": out}))
    return tasks


def _merge_both(grid: Grid, stage: Stage, k: int) -> dict[str, list[Task]]:
    """Returns the tasks that merge the cells, by direction."""

    def cell(rows: tuple[int, int], other: tuple[int, int]) -> Path:
        return _cell_path(stage, rows, other)

    def turned_cell(rows: tuple[int, int], other: tuple[int, int]) -> Path:
        return _cell_path(stage, other, rows)

    return {
        "forward": merge_tasks(stage, "forward", grid.source, grid.target, cell, k),
        "backward": merge_tasks(stage, "backward", grid.target, grid.source, turned_cell, k),
    }


def merge_tasks(
    stage: Stage,
    direction: str,
    shards: Sequence[tuple[int, int]],
    others: Sequence[tuple[int, int]],
    cell: Callable[[tuple[int, int], tuple[int, int]], Path],
    k: int,
) -> list[Task]:
    """Returns the tasks that merge what is found for each of `shards` in all of `others`.

    Args:
        stage: where the work is.
        direction: what is merged; see `merge_cells`.
        shards: rows whose neighbours are sought.
        others: rows that they are sought among.
        cell: gives the file of a shard and one of the others.
        k: neighbours of a row.
    """
    folder = stage.folder / "merged"
    starts = [start for start, _ in others]
    tasks = []
    for rows in shards:
        stem = f"{direction}-{rows[0]:012}"
        out = [str(folder / f"{stem}.{name}.npy") for name in ("neighbours", "similarities")]
        places = {"cells": [str(cell(rows, other)) for other in others], "out": out}
        arguments = {"direction": direction, "starts": starts, "k": k}
        name = f"merge/{stem}-{rows[1]:012}"
        tasks.append(Task(name, merge_cells, arguments, "", tuple(out), places))
    return tasks


def join_merged(merges: Sequence[Task], stage: Stage, direction: str) -> Neighbours:
    """Maps the merged shards of one direction as one array each; they are small."""
    arrays = []
    for place, (name, dtype) in enumerate((("neighbours", "<i8"), ("similarities", "<f4"))):
        path = stage.folder / f"{direction}-{name}.npy"
        shards = [load_array(task.outputs[place]) for task in merges]
        with write_array(path, dtype, shards[0].shape[1:]) as append:
            for shard in shards:
                append(shard)
        arrays.append(load_array(path))
    return Neighbours(*arrays)


def _cell_folder(stage: Stage) -> Path:
    return stage.folder / "cells"


def _cell_path(stage: Stage, source_rows: tuple[int, int], target_rows: tuple[int, int]) -> Path:
    name = "-".join(f"{row:012}" for row in (*source_rows, *target_rows))
    return _cell_folder(stage) / f"{name}.npz"


def _read_cell(path: str, direction: str, start: int) -> Neighbours:
    """Reads one direction of a cell; `start` is the first row of the other side's shard."""
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            # A zip file: a sum is checked as it is read.
            neighbours = arrays[direction].astype(np.int64) + start
            return Neighbours(neighbours, arrays[f"{direction}_similarities"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        raise LabseError(
            f"{path}: missing, or changed or damaged since it was written; delete it, and the same "
            "command makes it again"
        ) from None


def merge_neighbours(best: Neighbours, found: Neighbours, k: int) -> Neighbours:
    """Keeps the k best of both; the rows of a later shard have higher numbers: ties in order."""
    similarities = np.concatenate([best.similarities, found.similarities], axis=1)
    neighbours = np.concatenate([best.neighbours, found.neighbours], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return Neighbours(
        np.take_along_axis(neighbours, order, axis=1),
        np.take_along_axis(similarities, order, axis=1),
    )
