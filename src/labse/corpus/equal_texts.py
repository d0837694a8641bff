"""Equal texts get equal numbers, by their hashes.

Takes: texts, or 128-bit hashes of texts in files. Gives: for each the first that is equal, or a
number in order of first appearance, in bounded memory.
Source: hash partitioning, as in the joins of databases (Kitsuregawa et al. 1983, GRACE).

Dimensions: N texts at a time; T texts, counted over all files.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError, ResourceError
from labse.files.npy import map_new_array
from labse.files.system import sync

__all__ = ["find_firsts", "hash_texts", "number_texts"]

_CHUNK = 1 << 20
_ROW_BYTES = 24  # A hash and a position.
_SORT_BYTES = 4 * _ROW_BYTES  # With what sorting them takes beside.
_MAX_PARTITIONS = 512  # Files that are open at once.


def hash_texts(texts: Iterable[str]) -> NDArray[np.uint64]:
    """Returns (N, 2) hashes, BLAKE2b of 16 bytes.

    That two texts of 10^10 have one hash has a chance of 2e-19.
    """
    digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def find_firsts(hashes: NDArray[np.generic]) -> NDArray[np.int64]:
    """Returns (N,) for each of the hashes (N, H) the position of the first that is equal."""
    if not len(hashes):
        return np.zeros(0, np.int64)
    by_hash = np.lexsort(hashes.T[::-1])  # Stable: equal hashes stay in order.
    ordered = hashes[by_hash]
    is_new = np.ones(len(hashes), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    firsts = np.empty(len(hashes), np.int64)
    firsts[by_hash] = by_hash[is_new][np.cumsum(is_new) - 1]
    return firsts


def number_texts(
    files: Sequence[Path],
    out: Path,
    *,
    work: Path,
    memory_bytes: int,
    texts_per_row: int = 1,
    chunk: int = _CHUNK,
) -> int:
    """Writes int32 numbers from 0 to `out`; returns how many texts are distinct.

    Beside `memory_bytes` it maps 12 bytes of disk for each text, which the kernel may keep in
    memory as long as nothing else wants it.

    Args:
        files: `.npy`, what `hash_texts` gave, in order.
        out: a `.npy` file, (T / texts_per_row, texts_per_row).
        work: a folder for temporary files, 32 bytes a text.
        memory_bytes: to sort in.
        texts_per_row: of `out`; divides T.
        chunk: texts that are copied at a time.

    Raises:
        LabseError: more than 2^31 - 1 texts are distinct.
        ResourceError: the disk is full, or the texts need a hundred times the memory.
    """
    hashes = [np.load(file, mmap_mode="r") for file in files]
    num_texts = sum(len(rows) for rows in hashes)
    num_partitions = -(-num_texts * _SORT_BYTES // memory_bytes)
    if num_partitions > _MAX_PARTITIONS:
        needed = num_texts * _SORT_BYTES // _MAX_PARTITIONS
        raise ResourceError(
            f"{num_texts:,} sentences cannot be numbered in {memory_bytes:,} bytes; "
            f"give --memory {needed // 2**20 + 1}M or more"
        )
    try:
        first_T = map_new_array(work / "first.npy", np.int64, (num_texts,))
        paths = [work / f"hashes-{number:03}.bin" for number in range(max(1, num_partitions))]
        _partition(_iter_rows(hashes, chunk), paths)
        for path in paths:
            rows = np.fromfile(path, dtype=np.uint64).reshape(-1, 3)
            positions = rows[:, 2].astype(np.int64)
            first_T[positions] = positions[find_firsts(rows[:, :2])]
            path.unlink()
        shape = (num_texts // texts_per_row, texts_per_row)
        numbers = map_new_array(work / "numbers.npy", np.int32, shape)
        num_distinct = _write_numbers(first_T, numbers.reshape(-1), chunk)
    except OSError as error:
        raise ResourceError(f"{work}: cannot be written: {error.strerror or error}") from None
    del first_T, numbers
    sync(work / "numbers.npy")
    (work / "first.npy").unlink()
    (work / "numbers.npy").replace(out)
    return num_distinct


def _iter_rows(hashes: Sequence[NDArray[np.uint64]], chunk: int) -> Iterator[NDArray[np.uint64]]:
    """Yields (n, 3): hashes with the positions of their texts."""
    position = 0
    for rows in hashes:
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            positions = np.arange(position, position + len(part), dtype=np.uint64)
            yield np.concatenate([part, positions[:, None]], axis=1)
            position += len(part)


def _partition(chunks: Iterator[NDArray[np.uint64]], paths: Sequence[Path]) -> None:
    """Spreads rows over files by their hash, each file in the order of positions."""
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for rows in chunks:
            numbers = rows[:, 0] % np.uint64(len(files))
            by_number = np.argsort(numbers, kind="stable")
            ends = np.cumsum(np.bincount(numbers.astype(np.int64), minlength=len(files)))
            for file, part in zip(files, np.split(rows[by_number], ends[:-1]), strict=True):
                part.tofile(file)


def _write_numbers(first_T: NDArray[np.int64], numbers_T: NDArray[np.int32], chunk: int) -> int:
    num_distinct = 0
    for start in range(0, len(first_T), chunk):
        first = first_T[start : start + chunk]
        is_first = first == np.arange(start, start + len(first))
        count = int(is_first.sum())
        if num_distinct + count > np.iinfo(np.int32).max:
            raise LabseError("more than 2^31 - 1 distinct sentences; train on a part of them")
        numbers = np.empty(len(first), dtype=np.int32)
        numbers[is_first] = np.arange(num_distinct, num_distinct + count)
        numbers_T[start : start + chunk] = numbers
        numbers[~is_first] = numbers_T[first[~is_first]]  # Written: all first positions are lower.
        numbers_T[start : start + chunk] = numbers
        num_distinct += count
    return num_distinct
