"""Groups of near-equal texts of an index, in one language or several.

Takes: an index and a least cosine. Gives: groups of rows that are joined by pairs above it.
Source: single linkage; the exact search of `labse.search` finds the pairs.

Dimensions: N rows, D embedding, K neighbours.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import write_array
from labse.index.embedding_index import EmbeddingIndex
from labse.index.rows import IndexRow
from labse.runtime import OnProgress
from labse.search.knn import nearest_neighbours

__all__ = ["find_near_equal"]

_NEIGHBOURS = 16
_SCAN_ROWS = 4096


def find_near_equal(
    index: EmbeddingIndex,
    *,
    min_score: float = 0.95,
    where: str | None = None,
    lang: str | None = None,
    memory_bytes: int = 1 << 30,
    on_progress: OnProgress | None = None,
) -> list[list[IndexRow]]:
    """Returns groups of two rows or more, the largest first, rows by id.

    A row joins the group of each of its sixteen nearest rows that is near enough. Compares all rows
    with all: a million take about an hour on two cores.

    Args:
        index: whose rows.
        min_score: least cosine of two rows.
        where: a condition on the rows.
        lang: of the rows.
        memory_bytes: for vectors that are held; ids and 300 bytes a row come on top.
        on_progress: called with the products done and their number.

    Raises:
        ValueError: `min_score` is not between -1 and 1.
        UsageError: a condition that cannot be read.
    """
    if not -1 <= min_score <= 1:
        raise ValueError(f"min_score is {min_score}; a cosine is between -1 and 1")
    with tempfile.TemporaryDirectory(prefix="labse-") as folder:
        path = Path(folder, "vectors.npy")
        ids: list[str] = []
        with write_array(path, np.float32, (index.header.embedding_size,)) as append:
            for rows, embeddings in index.scan(_SCAN_ROWS, where=where, lang=lang):
                append(embeddings)
                ids += [row.id for row in rows]
        if len(ids) < 2:
            return []
        embeddings = np.load(path, mmap_mode="r")
        found = nearest_neighbours(
            embeddings,
            embeddings,
            min(_NEIGHBOURS + 1, len(ids)),
            memory_bytes=memory_bytes,
            on_progress=on_progress,
        )
        del embeddings

    is_near = found.similarities >= np.float32(min_score - 1e-6)
    sources = np.broadcast_to(np.arange(len(ids))[:, None], is_near.shape)[is_near]
    roots = _join(len(ids), sources, found.neighbours[is_near])
    members: dict[int, list[str]] = {}
    for row in np.flatnonzero(np.bincount(roots, minlength=len(ids))[roots] > 1).tolist():
        members.setdefault(int(roots[row]), []).append(ids[row])
    groups = [index.read(sorted(group)) for group in members.values()]
    return sorted(groups, key=lambda group: (-len(group), group[0].id))


def _join(
    num_rows: int, sources: NDArray[np.int64], targets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns (N,) the lowest row of the group of each row: union-find with halved paths."""
    parents = list(range(num_rows))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for source, target in _distinct(sources, targets):
        low, high = sorted((find(source), find(target)))
        parents[high] = low
    return np.array([find(row) for row in range(num_rows)], np.int64)


def _distinct(sources: NDArray[np.int64], targets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    is_other = sources != targets
    yield from zip(sources[is_other].tolist(), targets[is_other].tolist(), strict=True)
