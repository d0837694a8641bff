"""Sentences to one `.npy` file of vectors, row for row, in constant memory.

Takes: an encoder, a stream of sentences. Gives: (N, D) on disk, readable with `numpy.load`.
"""

import contextlib
import fcntl
import glob
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from labse.encoder.batching import split_by_budget
from labse.encoder.job.vector_files import STORAGE_TYPES, npy_header
from labse.files.atomic import write_atomic

__all__ = ["EmbeddingFile", "encode_file"]

_CHUNK_SENTENCES = 65_536  # 192 MiB of vectors of 768 dimensions; equal sentences in it meet.
_CHUNK_CHARACTERS = 1 << 25


class _Encoder(Protocol):
    @property
    def embedding_size(self) -> int: ...

    @property
    def num_long(self) -> int: ...

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """What was written: (num_rows, embedding_size); num_long sentences were over the limit."""

    path: Path
    num_rows: int
    embedding_size: int
    num_long: int


def encode_file(
    encoder: _Encoder,
    sentences: Iterable[str],
    out: str | Path,
    *,
    storage: Literal["float32", "float16"] = "float32",
    chunk_sentences: int = _CHUNK_SENTENCES,
    report: Callable[[int], None] | None = None,
) -> EmbeddingFile:
    """Encodes each sentence, empty ones included; row i of the result is sentence i.

    Args:
        encoder: gives the vectors.
        sentences: valid Unicode.
        out: the `.npy` file; it stands there when it is whole.
        storage: the type of the values.
        chunk_sentences: sentences that are held at a time.
        report: called with the number of rows done.

    Raises:
        LabseError: the input cannot be read.
        ResourceError: `out` cannot be written.
    """
    long_before = encoder.num_long
    descr = STORAGE_TYPES[storage]
    num_rows = 0
    _remove_temporary(Path(out))
    with write_atomic(out) as stream:
        with contextlib.suppress(OSError):  # Not every file system has locks.
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stream.write(npy_header(descr, (num_rows, encoder.embedding_size)))
        for chunk in split_by_budget(sentences, chunk_sentences, _CHUNK_CHARACTERS):
            stream.write(np.ascontiguousarray(encoder.encode(chunk), descr).tobytes())
            num_rows += len(chunk)
            if report:
                report(num_rows)
        # NumPy pads the header so that the number of rows may grow in its place.
        stream.seek(0)
        stream.write(npy_header(descr, (num_rows, encoder.embedding_size)))
    num_long = encoder.num_long - long_before
    return EmbeddingFile(Path(out), num_rows, encoder.embedding_size, num_long)


def _remove_temporary(out: Path) -> None:
    """Deletes what killed runs left of this file; one that is being written is locked."""
    target = out.resolve()
    for name in glob.glob(f".{glob.escape(target.name)}.*.tmp", root_dir=target.parent):
        with contextlib.suppress(OSError), (target.parent / name).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (target.parent / name).unlink()
