"""Sparse rows, one a page; those of many pages lie on disk.

Takes: blocks of rows in their order. Gives: any block, or any rows, as a matrix of scipy.

Dimensions: N rows, E entries, C columns.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labse.files.npy import gather_ragged, load_array, release_map, write_array
from labse.runtime import require

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["SparseRows", "count_values"]

_BLOCK_ROWS = 512
_MAX_HELD = 1 << 18  # Entries in memory; more lie on disk.
_MAX_SORTED = 1 << 20  # Values that are counted at a time.


class SparseRows:
    """N sparse rows.

    Attributes:
        num_columns: C.
        column_counts: (C,) the rows that have each column.
    """

    def __init__(
        self, blocks: "Iterable[csr_matrix]", num_columns: int, num_entries: int, path: Path
    ) -> None:
        """Gathers the rows of blocks.

        Args:
            blocks: rows of C columns; float32.
            num_columns: C.
            num_entries: of all blocks at most.
            path: files of this name are written if there are many; the caller deletes their folder.
        """
        self.num_columns = num_columns
        self.column_counts = np.zeros(num_columns, np.int64)
        sizes = [np.zeros(1, np.int64)]
        if num_entries <= _MAX_HELD:
            held: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
            for block in self._count(blocks, sizes):
                held[0].append(block.indices.astype(np.int32))
                held[1].append(block.data)
            self._indices = np.concatenate([np.zeros(0, np.int32), *held[0]])
            self._data = np.concatenate([np.zeros(0, np.float32), *held[1]])
        else:
            paths = path.with_suffix(".indices.npy"), path.with_suffix(".data.npy")
            with (
                write_array(paths[0], np.int32) as add_indices,
                write_array(paths[1], np.float32) as add_data,
            ):
                for block in self._count(blocks, sizes):
                    add_indices(block.indices)
                    add_data(block.data)
            self._indices, self._data = (load_array(path) for path in paths)
        self._edges = np.cumsum(np.concatenate(sizes))

    def __len__(self) -> int:
        return len(self._edges) - 1

    def _count(
        self, blocks: "Iterable[csr_matrix]", sizes: list[NDArray[np.int64]]
    ) -> "Iterator[csr_matrix]":
        for block in blocks:
            block.sort_indices()
            sizes.append(np.diff(block.indptr).astype(np.int64))
            self.column_counts += np.bincount(block.indices, minlength=self.num_columns)
            yield block

    @property
    def row_sizes(self) -> NDArray[np.int64]:
        """(N,) the entries of each row."""
        return np.diff(self._edges)

    def gather(self, rows: NDArray[np.int64]) -> "csr_matrix":
        """Returns some rows, in any order."""
        indices, lengths = gather_ragged(self._indices, self._edges, rows)
        data, _ = gather_ragged(self._data, self._edges, rows)
        return self._matrix(data, indices, np.concatenate([[0], np.cumsum(lengths)]))

    def block(self, part: slice) -> "csr_matrix":
        """Returns the rows of a part."""
        edges = self._edges[part.start : part.stop + 1]
        inner = slice(edges[0], edges[-1])
        data, indices = np.array(self._data[inner]), np.array(self._indices[inner])
        return self._matrix(data, indices, edges - edges[0])

    def map_blocks(
        self, num_rows: int, change: "Callable[[csr_matrix], csr_matrix]"
    ) -> "Iterator[csr_matrix]":
        """Yields what a function makes of each so many rows."""
        for start in range(0, len(self), num_rows):
            yield change(self.block(slice(start, min(start + num_rows, len(self)))))
            self.release()

    def choose_columns(self, is_kept: NDArray[np.bool_], path: Path) -> "SparseRows":
        """Returns the same rows without what stands in the other columns; `path` as at first."""

        def choose(block: "csr_matrix") -> "csr_matrix":
            block.data[~is_kept[block.indices]] = 0
            block.eliminate_zeros()
            return block

        num_entries = int(self.column_counts[is_kept].sum())
        return SparseRows(self.map_blocks(_BLOCK_ROWS, choose), self.num_columns, num_entries, path)

    def release(self) -> None:
        """Lets go of the memory that holds what was read from disk."""
        for array in (self._indices, self._data):
            release_map(array)

    def _matrix(
        self, data: NDArray[Any], indices: NDArray[Any], edges: NDArray[Any]
    ) -> "csr_matrix":
        sparse = require("scipy.sparse", "corpus")
        shape = (len(edges) - 1, self.num_columns)
        return sparse.csr_matrix((data, indices, edges.astype(np.int32)), shape=shape)


def count_values(
    iter_chunks: Callable[[], Iterable[NDArray[np.uint64]]], num_values: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Returns the distinct values that stand twice or more, sorted, and how often each does.

    Args:
        iter_chunks: gives all values, hashes, in chunks; called once for each part of their range.
        num_values: all of them; of more than are held, one part of their range after the other.
    """
    num_bits = max(0, (num_values // _MAX_SORTED).bit_length())
    values: list[NDArray[np.uint64]] = []
    counts: list[NDArray[np.int64]] = []
    for part in range(1 << num_bits):
        chosen = [
            chunk if not num_bits else chunk[chunk >> np.uint64(64 - num_bits) == part]
            for chunk in iter_chunks()
        ]
        found, times = np.unique(
            np.concatenate([np.zeros(0, np.uint64), *chosen]), return_counts=True
        )
        values.append(found[times > 1])
        counts.append(times[times > 1])
    return np.concatenate(values), np.concatenate(counts)
