"""Neighbours of two large sides, part by part; a killed run goes on with the next part.

Takes: vectors (N, D) and (M, D), mapped. Gives: the neighbours of both sides among each other.
Source: the k nearest of all are among the k nearest of each part.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.files.atomic import write_atomic
from labse.files.stage import Stage
from labse.runtime import OnProgress
from labse.search.knn import EngineName, MutualNeighbours, Neighbours, mutual_neighbours

__all__ = ["search_in_parts"]

# A part against 10**6 rows of 768 takes four minutes on two cores: so much a kill can lose.
_PART_ROWS = 65_536


def search_in_parts(
    source: NDArray[np.floating],
    target: NDArray[np.floating],
    k: int,
    stage: Stage,
    *,
    memory_bytes: int,
    engine: EngineName = "auto",
    device: str = "auto",
    part_rows: int = _PART_ROWS,
    on_progress: OnProgress | None = None,
) -> MutualNeighbours:
    """Searches as `mutual_neighbours` and keeps each finished part of the source in `stage`.

    Args:
        stage: where the parts are; its key names the inputs and k.
        memory_bytes, engine, device: see `mutual_neighbours`.
        part_rows: source rows of a part.
        on_progress: called with the source rows done and their number.
    """
    forward: list[Neighbours] = []
    backward = Neighbours(
        np.zeros((len(target), 0), np.int64), np.zeros((len(target), 0), np.float32)
    )
    for start in range(0, max(1, len(source)), part_rows):
        part = source[start : start + part_rows]
        path = stage.folder / f"neighbours-{start:09d}.npz"
        if stage.result(path.name) is None:

            def count_rows(products: int, _: int | None, *, first: int = start) -> None:
                if on_progress:
                    done = min(first + products // max(1, len(target)), len(source))
                    on_progress(done, len(source))

            found = mutual_neighbours(
                part,
                target,
                k,
                memory_bytes=memory_bytes,
                engine=engine,
                device=device,
                on_progress=count_rows,
            )
            _save(path, found)
            stage.add(path.name, {}, files=[path])
        found = _load(path)
        forward.append(found.forward)
        backward = _merge(backward, found.backward, start, min(k, len(source)))
        if on_progress:
            on_progress(start + len(part), len(source))
    return MutualNeighbours(_join(forward), backward)


def _merge(best: Neighbours, found: Neighbours, start: int, k: int) -> Neighbours:
    """Keeps the k best of both; rows of a later part have higher numbers, so ties stay in order."""
    similarities = np.concatenate([best.similarities, found.similarities], axis=1)
    neighbours = np.concatenate([best.neighbours, found.neighbours + start], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return Neighbours(
        np.take_along_axis(neighbours, order, axis=1),
        np.take_along_axis(similarities, order, axis=1),
    )


def _join(parts: list[Neighbours]) -> Neighbours:
    return Neighbours(
        np.concatenate([part.neighbours for part in parts]),
        np.concatenate([part.similarities for part in parts]),
    )


def _save(path: Path, found: MutualNeighbours) -> None:
    arrays = {
        "forward": found.forward.neighbours,
        "forward_similarities": found.forward.similarities,
        "backward": found.backward.neighbours,
        "backward_similarities": found.backward.similarities,
    }
    with write_atomic(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _load(path: Path) -> MutualNeighbours:
    with np.load(path, allow_pickle=False) as arrays:
        sides = (
            Neighbours(arrays[s], arrays[f"{s}_similarities"]) for s in ("forward", "backward")
        )
        return MutualNeighbours(*sides)
