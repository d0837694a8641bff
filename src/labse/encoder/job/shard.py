"""One shard: a list of sentences to the files of their vectors. The unit of work and of resuming.

Takes: an encoder, sentences, a folder. Gives: `shard-N.npy` and its companions, and what to write
    about them in the manifest.
Source: docs/design.md. `encode_shard` needs nothing but its arguments, so that a cluster's workers
    can call it, each on sentences of its own; the same sentences give the same bytes.

Dimensions: N sentences, U distinct ones, D embedding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from labse.corpus.equal_texts import hash_texts
from labse.encoder.streaming import EncodedSentences, OnBatch, UniqueTexts
from labse.files.npy import load_array, save_array

__all__ = [
    "STORAGE_TYPES",
    "EncodedTexts",
    "SeenTexts",
    "Shard",
    "Storage",
    "StoredRows",
    "encode_shard",
    "load_rows",
    "shard_path",
]

Storage: TypeAlias = Literal["float32", "float16", "int8"]

STORAGE_TYPES: Mapping[Storage, str] = MappingProxyType(
    {"float32": "<f4", "float16": "<f2", "int8": "|i1"}
)
_FLAGS = ("long", "empty", "unknown")
_NUM_SLOTS = 1 << 22  # 24 bytes each: 96 MiB once four million sentences were seen.


class _Encoder(Protocol):
    @property
    def embedding_size(self) -> int: ...

    def encode_stream(
        self, sentences: Sequence[str], *, on_batch: OnBatch | None = None
    ) -> Iterator[EncodedSentences]: ...


@dataclass(frozen=True, slots=True)
class Shard:
    """What the manifest says of a shard.

    Attributes:
        number: its place among the shards.
        num_rows: rows, one for each sentence.
        num_encoded: sentences that were computed; the other rows are copies of equal ones.
        num_long: rows of sentences over the model's length.
        num_empty: rows of sentences without a token.
        num_unknown: rows of sentences of which all tokens are [UNK].
        text_sha256: of the sentences, each with a line feed.
        files: the SHA-256 of each file by its name.
    """

    number: int
    num_rows: int
    num_encoded: int
    num_long: int
    num_empty: int
    text_sha256: str
    files: dict[str, str]
    num_unknown: int = 0  # Folders of earlier versions do not say.


def encode_shard(
    encoder: _Encoder,
    sentences: Sequence[str] | UniqueTexts,
    folder: str | Path,
    number: int,
    *,
    storage: Storage = "float32",
    places: NDArray[np.int64] | None = None,
    on_batch: OnBatch | None = None,
) -> Shard:
    """Writes the vectors of sentences; equal ones are encoded once.

    Writes `shard-N.npy`, for int8 `shard-N.scale.npy`, and where there are such rows
    `shard-N.empty.npy`, `shard-N.long.npy` and `shard-N.unknown.npy` with their numbers, from 0 in
    the shard.

    Args:
        encoder: gives the vectors.
        sentences: of the rows, in their order.
        folder: receives the files.
        number: of the shard.
        storage: the type of the stored values.
        places: (U, 2) shard and row of an equal sentence in an earlier shard of this folder, for
            each distinct sentence in the order of its first appearance; -1: to be encoded.
        on_batch: called after each batch of sentences that are computed.

    Raises:
        LabseError: the model gave no finite unit vector, or an earlier shard is damaged.
        ResourceError: the folder cannot be written.
    """
    unique = sentences if isinstance(sentences, UniqueTexts) else UniqueTexts.of(sentences)
    if places is None:
        places = np.full((len(unique.texts), 2), -1, np.int64)
    texts = EncodedTexts.compute(encoder, unique, places, storage, on_batch)
    for earlier in texts.copied_shards():
        texts.copy_rows(Path(folder), earlier)
    return texts.write(Path(folder), number)


@dataclass(frozen=True, slots=True)
class EncodedTexts:
    """The distinct sentences of a shard with their vectors.

    Attributes:
        unique: N sentences, U distinct ones.
        places: (U, 2); see `encode_shard`.
        stored: (U, D), of which those with a place wait for `copy_rows`.
        flags: (U, 3): long, empty, unknown.
    """

    unique: UniqueTexts
    places: NDArray[np.int64]
    stored: "StoredRows"
    flags: NDArray[np.bool_]

    @classmethod
    def compute(
        cls,
        encoder: _Encoder,
        unique: UniqueTexts,
        places: NDArray[np.int64],
        storage: Storage,
        on_batch: OnBatch | None = None,
    ) -> "EncodedTexts":
        """Computes what stands in no earlier shard; see `encode_shard`."""
        stored = StoredRows.allocate(len(unique.texts), encoder.embedding_size, storage)
        flags = np.zeros((len(unique.texts), len(_FLAGS)), bool)
        new, start = np.flatnonzero(places[:, 0] < 0), 0
        texts = [unique.texts[number] for number in new.tolist()]
        for part in encoder.encode_stream(texts, on_batch=on_batch):
            rows = new[start : start + len(part.embeddings)]
            stored.put(rows, part.embeddings)
            flags[rows] = np.stack([part.is_long, part.is_empty, part.is_unknown], axis=1)
            start += len(part.embeddings)
        return cls(unique, places, stored, flags)

    @classmethod
    def load(
        cls,
        folder: Path,
        number: int,
        unique: UniqueTexts,
        places: NDArray[np.int64],
        storage: Storage,
    ) -> "EncodedTexts":
        """Reads back what `write` wrote."""
        rows, found = unique.first_rows(), load_rows(folder, number, storage)
        scales = None if found.scales is None else found.scales[rows]
        flags = np.zeros((len(rows), len(_FLAGS)), bool)
        _read_flags(folder, number, rows, flags)
        return cls(unique, places, StoredRows(found.values[rows], scales), flags)

    def copied_shards(self) -> list[int]:
        """Returns the numbers of the earlier shards that have rows of this one."""
        numbers: list[int] = np.unique(self.places[self.places[:, 0] >= 0, 0]).tolist()
        return numbers

    def copy_rows(self, folder: Path, number: int) -> None:
        """Takes the rows of sentences that stand in an earlier shard."""
        rows = np.flatnonzero(self.places[:, 0] == number)
        sources = self.places[rows, 1]
        by_place = np.argsort(sources)  # The file is read from front to back.
        rows, sources = rows[by_place], sources[by_place]
        self.stored.values[rows] = _read_rows(shard_path(folder, number), sources)
        if self.stored.scales is not None:
            self.stored.scales[rows] = load_array(shard_path(folder, number, "scale"))[sources]
        flags = np.zeros((len(rows), len(_FLAGS)), bool)
        _read_flags(folder, number, sources, flags)
        self.flags[rows] = flags

    def write(self, folder: Path, number: int) -> Shard:
        """Writes the files of the shard: a row for each sentence."""
        unique, flags = self.unique, self.flags[self.unique.numbers]
        return Shard(
            number=number,
            num_rows=len(unique.numbers),
            num_encoded=int((self.places[:, 0] < 0).sum()),
            num_long=int(flags[:, 0].sum()),
            num_empty=int(flags[:, 1].sum()),
            num_unknown=int(flags[:, 2].sum()),
            text_sha256=unique.sha256(),
            files=_write(folder, number, self.stored, unique.numbers, flags),
        )


def shard_path(folder: Path, number: int, part: str = "") -> Path:
    """Returns the path of a shard, or of a companion: `scale`, `long`, `empty` or `unknown`."""
    return folder / f"shard-{number:06d}{f'.{part}' if part else ''}.npy"


def load_rows(folder: Path, number: int, storage: Storage) -> "StoredRows":
    """Maps the vectors of a shard.

    Raises:
        LabseError: a file is missing or damaged.
    """
    scales = load_array(shard_path(folder, number, "scale")) if storage == "int8" else None
    return StoredRows(load_array(shard_path(folder, number)), scales)


@dataclass(frozen=True, slots=True)
class StoredRows:
    """N vectors as they are stored.

    Attributes:
        values: (N, D) of the stored type.
        scales: (N,) float32 if that is int8, else None; values[n] * scales[n] is a unit row.
    """

    values: NDArray[Any]
    scales: NDArray[np.float32] | None

    @classmethod
    def allocate(cls, num_rows: int, embedding_size: int, storage: Storage) -> "StoredRows":
        """Makes room in memory."""
        return cls(
            values=np.empty((num_rows, embedding_size), STORAGE_TYPES[storage]),
            scales=np.empty(num_rows, np.float32) if storage == "int8" else None,
        )

    def put(self, rows: slice | NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Stores float32 unit rows in some rows."""
        if self.scales is None:
            self.values[rows] = embeddings
            return
        steps = np.abs(embeddings).max(axis=1, keepdims=True) / np.float32(127)
        rounded = np.rint(embeddings / steps)
        self.values[rows] = rounded
        # Not the steps: with these the rows that are read are unit rows again.
        self.scales[rows] = 1 / np.linalg.norm(rounded, axis=1)

    def take(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns some rows as float32, a copy."""
        embeddings = np.array(self.values[rows], np.float32)
        if self.scales is not None:
            embeddings *= self.scales[rows][:, None]
        return embeddings


class SeenTexts:
    """Where a text was seen before: a table of fixed size, of one slot a hash.

    A place is a shard and a row in it: the one that was computed, so that no copy waits for a copy.
    A later text takes the slot of an earlier one. The answers depend on the texts and their order
    alone, so a run that is resumed, or spread over machines, copies the same rows.
    """

    def __init__(self, num_slots: int = _NUM_SLOTS) -> None:
        """Makes an empty table.

        Args:
            num_slots: a power of two.
        """
        self._mask = np.uint64(num_slots - 1)
        self._keys = np.zeros((num_slots, 2), np.uint64)
        self._shards = np.full(num_slots, -1, np.int32)
        self._rows = np.zeros(num_slots, np.int32)

    def replace(self, unique: UniqueTexts, shard: int) -> NDArray[np.int64]:
        """Returns (U, 2), shard and row of each text, -1 where none is known; then adds them all.

        Args:
            unique: the sentences of a shard.
            shard: its number.
        """
        keys = hash_texts(unique.texts)
        slots = keys[:, 0] & self._mask
        is_known = (self._keys[slots] == keys).all(axis=1) & (self._shards[slots] >= 0)
        places = np.full((len(keys), 2), -1, np.int64)
        places[is_known, 0] = self._shards[slots[is_known]]
        places[is_known, 1] = self._rows[slots[is_known]]

        is_new = ~is_known
        self._keys[slots[is_new]] = keys[is_new]
        self._shards[slots[is_new]] = shard
        self._rows[slots[is_new]] = unique.first_rows()[is_new]
        return places


def _read_flags(
    folder: Path, number: int, rows: NDArray[np.int64], flags: NDArray[np.bool_]
) -> None:
    """Sets the flags of some rows of a shard."""
    for column, part in enumerate(_FLAGS):
        path = shard_path(folder, number, part)
        if path.is_file():
            flags[:, column] = np.isin(rows, load_array(path))


def _read_rows(path: Path, rows: NDArray[np.int64]) -> NDArray[np.generic]:
    """Reads rows of a file; mapped pages would count as memory of this process and pile up."""
    array = load_array(path)
    result: NDArray[np.generic] = np.empty((len(rows), array.shape[1]), array.dtype)
    offset = array.offset if isinstance(array, np.memmap) else 0
    num_bytes = array.strides[0]
    with path.open("rb", buffering=0) as stream:
        for place, row in enumerate(rows.tolist()):
            stream.seek(offset + row * num_bytes)
            stream.readinto(result[place].data)
    return result


def _write(
    folder: Path,
    number: int,
    stored: StoredRows,
    order: NDArray[np.int64],
    flags: NDArray[np.bool_],
) -> dict[str, str]:
    """Writes the companions first: where the vectors are, all is."""
    parts: list[tuple[str, NDArray[np.generic], NDArray[np.int64] | None]] = []
    if stored.scales is not None:
        parts += [("scale", stored.scales, order)]
    for column, part in enumerate(_FLAGS):
        if flags[:, column].any():
            parts += [(part, np.flatnonzero(flags[:, column]).astype("<i8"), None)]
    parts += [("", stored.values, order)]
    paths = [shard_path(folder, number, part) for part, _, _ in parts]
    return {
        path.name: save_array(path, array, order_of_part)
        for path, (_, array, order_of_part) in zip(paths, parts, strict=True)
    }
