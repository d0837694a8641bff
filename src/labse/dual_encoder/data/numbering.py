"""What is equal gets one number: texts by hashes, tokenised sentences by keys of their pieces.

Takes: 128-bit hashes of texts in files. Gives: a number for each, in order of first appearance, in
bounded memory. Source: hash partitioning, as in the joins of databases (Kitsuregawa et al. 1983,
GRACE).

Takes: ids of sentences. Gives: a 64-bit key for each, wherever it is stored. Source: multilinear
hashing modulo 2**64 (Carter & Wegman 1979). Of 10**7 sentences two share a key with a probability
of about 1e-5.

Dimensions: T texts, counted over all files, or tokens; B sentences, U keys.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError, ResourceError

__all__ = [
    "KeyIndex",
    "hash_texts",
    "number_texts",
    "pair_keys",
    "sentence_keys",
    "stored_keys",
]

_CHUNK = 1 << 20
_ROW_BYTES = 24  # A hash and a position.
_SORT_BYTES = 4 * _ROW_BYTES  # With what sorting them takes beside.
_MAX_PARTITIONS = 512  # Files that are open at once.
_SEED = 20071852  # Any fixed number; keys on disk depend on it.
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))  # Odd, of no pattern.


def hash_texts(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Returns (n, 2) uint64, BLAKE2b of 16 bytes.

    That two texts of 10^10 have one hash has a chance of 2e-19.
    """
    digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


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
        first_T = np.lib.format.open_memmap(
            work / "first.npy", mode="w+", dtype=np.int64, shape=(num_texts,)
        )
        paths = [work / f"hashes-{number:03}.bin" for number in range(max(1, num_partitions))]
        _partition(_iter_rows(hashes, chunk), paths)
        for path in paths:
            rows = np.fromfile(path, dtype=np.uint64).reshape(-1, 3)
            _find_first(rows, first_T)
            path.unlink()
        numbers = np.lib.format.open_memmap(
            work / "numbers.npy",
            mode="w+",
            dtype=np.int32,
            shape=(num_texts // texts_per_row, texts_per_row),
        )
        num_distinct = _write_numbers(first_T, numbers.reshape(-1), chunk)
        numbers.flush()
    except OSError as error:
        raise ResourceError(f"{work}: cannot be written: {error.strerror or error}") from None
    del first_T, numbers
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


def _find_first(rows: NDArray[np.uint64], first_T: NDArray[np.int64]) -> None:
    """Sets, at each position of the rows, the first position of the same hash."""
    if not len(rows):
        return
    by_hash = np.lexsort((rows[:, 1], rows[:, 0]))  # Stable: equal hashes stay in order.
    ordered = rows[by_hash]
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (ordered[1:, :2] != ordered[:-1, :2]).any(axis=1)
    positions = ordered[:, 2].astype(np.int64)
    first_T[positions] = positions[is_new][np.cumsum(is_new) - 1]


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


# ---- Keys of tokenised sentences ----


def sentence_keys(input_ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Returns (B,) keys, equal for equal pieces.

    So sentences are equal that the tokenizer's normalisation makes equal, and those that differ
    only behind max_seq_length: the encoder cannot tell them apart.

    Args:
        input_ids: (T,) ids of all sentences, one after the other.
        lengths: (B,) tokens of each sentence, one at least.
    """
    if not len(lengths):
        return np.zeros(0, np.uint64)
    starts = np.cumsum(lengths) - lengths
    positions = np.arange(len(input_ids)) - np.repeat(starts, lengths)
    weights = _position_weights(int(lengths.max()))
    # An id of 0 counts too, or a sentence and its padded form would be one.
    products = (input_ids.astype(np.uint64) + np.uint64(1)) * weights[positions]
    keys: NDArray[np.uint64] = np.add.reduceat(products, starts)
    return keys


def stored_keys(
    input_ids: NDArray[np.int32], offsets: NDArray[np.int64], *, chunk_sentences: int = 1 << 18
) -> NDArray[np.uint64]:
    """Returns the keys of sentences that are mapped from disk, with little of them in memory.

    Args:
        input_ids: (T,) ids of all sentences.
        offsets: (N + 1,) where each begins.
        chunk_sentences: sentences that are read at a time.
    """
    keys = np.empty(len(offsets) - 1, np.uint64)
    for start in range(0, len(keys), chunk_sentences):
        part = np.asarray(offsets[start : start + chunk_sentences + 1])
        ids = np.asarray(input_ids[part[0] : part[-1]])
        keys[start : start + chunk_sentences] = sentence_keys(ids, np.diff(part))
    return keys


def pair_keys(sources: NDArray[np.uint64], targets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns the keys of pairs from those of their sides; turned round a pair is another."""
    keys: NDArray[np.uint64] = sources * _FACTORS[0] + targets * _FACTORS[1]
    return keys


def _position_weights(count: int) -> NDArray[np.uint64]:
    """Returns an odd number for each position, the same however many are asked for."""
    generator = np.random.default_rng(_SEED)
    return generator.integers(1 << 63, size=count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """Finds keys among many.

    Attributes:
        keys: (U,) sorted, without repeats.
        places: (U,) what each stands for, such as a row number; None says its own position.
    """

    keys: NDArray[np.uint64]
    places: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, keys: NDArray[np.uint64]) -> "KeyIndex":
        """Indexes keys by their position; of repeated ones the first counts."""
        distinct, first = np.unique(keys, return_index=True)
        return cls(distinct, first)

    def find(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Returns the places of `keys`, -1 for those that are not there."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        positions = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        places = positions if self.places is None else self.places[positions]
        return np.where(self.keys[positions] == keys, places, -1)
