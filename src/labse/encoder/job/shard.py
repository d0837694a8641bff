"""One shard: a list of sentences to the files of their vectors. The unit of work and of resuming.

Takes: an encoder, sentences, a folder. Gives: `shard-N.npy` and its companions, and what to write
    about them in the manifest.
Source: docs/design.md. `encode_shard` needs nothing but its arguments, so that a cluster's workers
    can call it, each on sentences of its own; the same sentences give the same bytes.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from labse.encoder.job.vector_files import Storage, StoredRows, allocate_rows
from labse.encoder.streaming import EncodedSentences, OnBatch
from labse.files.npy import load_array, save_array

__all__ = ["Shard", "encode_shard", "hash_text", "load_rows", "shard_path"]


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


def encode_shard(
    encoder: _Encoder,
    sentences: Sequence[str],
    folder: str | Path,
    number: int,
    *,
    storage: Storage = "float32",
    places: NDArray[np.int64] | None = None,
    on_batch: OnBatch | None = None,
    await_file: Callable[[Path], None] | None = None,
) -> Shard:
    """Writes the vectors of sentences; equal ones are encoded once.

    Writes `shard-N.npy`, for int8 `shard-N.scale.npy`, and where there are such rows
    `shard-N.empty.npy` and `shard-N.long.npy` with their numbers, from 0 in the shard.

    Args:
        encoder: gives the vectors.
        sentences: of the rows, in their order.
        folder: receives the files.
        number: of the shard.
        storage: the type of the stored values.
        places: (U, 2) shard and row of an equal sentence in an earlier shard of this folder, for
            each distinct sentence in the order of its first appearance; -1: to be encoded.
        on_batch: called after each batch of sentences that are computed.
        await_file: called with the path of each earlier shard before it is read; returns when it
            is there. None: all of them are.

    Raises:
        LabseError: the model gave no finite unit vector, or an earlier shard is damaged.
        ResourceError: the folder cannot be written.
    """
    numbers = {text: n for n, text in enumerate(dict.fromkeys(sentences))}
    inverse = np.fromiter(map(numbers.__getitem__, sentences), np.int64, len(sentences))
    if places is None:
        places = np.full((len(numbers), 2), -1, np.int64)

    stored = allocate_rows(len(numbers), encoder.embedding_size, storage)
    flags = np.zeros((len(numbers), 2), bool)  # Whether long, whether empty.
    is_new = places[:, 0] < 0
    new_rows = np.flatnonzero(is_new)
    start = 0
    texts = [text for text, is_wanted in zip(numbers, is_new.tolist(), strict=True) if is_wanted]
    for part in encoder.encode_stream(texts, on_batch=on_batch):
        rows = new_rows[start : start + len(part.embeddings)]
        stored.put(rows, part.embeddings)
        flags[rows, 0], flags[rows, 1] = part.is_long, part.is_empty
        start += len(part.embeddings)
    _copy_rows(Path(folder), places, stored, flags, await_file)

    row_flags = flags[inverse]
    return Shard(
        number=number,
        num_rows=len(sentences),
        num_encoded=len(new_rows),
        num_long=int(row_flags[:, 0].sum()),
        num_empty=int(row_flags[:, 1].sum()),
        text_sha256=hash_text(sentences),
        files=_write(Path(folder), number, stored, inverse, row_flags),
    )


def hash_text(sentences: Sequence[str]) -> str:
    """Returns the SHA-256 of the sentences, each with a line feed."""
    digest = hashlib.sha256()
    for start in range(0, len(sentences), 1024):
        digest.update("".join(f"{text}\n" for text in sentences[start : start + 1024]).encode())
    return digest.hexdigest()


def shard_path(folder: Path, number: int, part: str = "") -> Path:
    """Returns the path of a shard, or of a companion: `scale`, `empty` or `long`."""
    return folder / f"shard-{number:06d}{f'.{part}' if part else ''}.npy"


def load_rows(folder: Path, number: int, storage: Storage) -> StoredRows:
    """Maps the vectors of a shard.

    Raises:
        LabseError: a file is missing or damaged.
    """
    scales = load_array(shard_path(folder, number, "scale")) if storage == "int8" else None
    return StoredRows(load_array(shard_path(folder, number)), scales)


def _copy_rows(
    folder: Path,
    places: NDArray[np.int64],
    stored: StoredRows,
    flags: NDArray[np.bool_],
    await_file: Callable[[Path], None] | None,
) -> None:
    """Fills the rows of sentences that stand in earlier shards."""
    for number in np.unique(places[places[:, 0] >= 0, 0]).tolist():
        if await_file:
            await_file(shard_path(folder, number))
        rows = np.flatnonzero(places[:, 0] == number)
        sources = places[rows, 1]
        by_place = np.argsort(sources)  # The file is read from front to back.
        rows, sources = rows[by_place], sources[by_place]
        stored.values[rows] = _read_rows(shard_path(folder, number), sources)
        if stored.scales is not None:
            stored.scales[rows] = load_array(shard_path(folder, number, "scale"))[sources]
        for column, part in enumerate(("long", "empty")):
            path = shard_path(folder, number, part)
            if path.is_file():
                flags[rows, column] = np.isin(sources, load_array(path))


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
    inverse: NDArray[np.int64],
    flags: NDArray[np.bool_],
) -> dict[str, str]:
    """Writes the companions first: where the vectors are, all is."""
    parts: list[tuple[str, NDArray[np.generic], NDArray[np.int64] | None]] = []
    if stored.scales is not None:
        parts += [("scale", stored.scales, inverse)]
    for column, part in enumerate(("long", "empty")):
        if flags[:, column].any():
            parts += [(part, np.flatnonzero(flags[:, column]).astype("<i8"), None)]
    parts += [("", stored.values, inverse)]
    paths = [shard_path(folder, number, part) for part, _, _ in parts]
    return {
        path.name: save_array(path, array, order)
        for path, (_, array, order) in zip(paths, parts, strict=True)
    }
