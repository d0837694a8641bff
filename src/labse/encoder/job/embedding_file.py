"""Sentences to one `.npy` file of vectors, row for row, in constant memory.

Takes: an encoder, a stream of sentences. Gives: (N, D) on disk, readable with `numpy.load`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from labse.encoder.batching import split_by_budget
from labse.encoder.job.vector_files import STORAGE_TYPES
from labse.files.atomic import remove_leftovers
from labse.files.npy import write_array

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
    num_rows = 0
    remove_leftovers(Path(out).resolve())
    with write_array(out, STORAGE_TYPES[storage], (encoder.embedding_size,)) as append:
        for chunk in split_by_budget(sentences, chunk_sentences, _CHUNK_CHARACTERS):
            append(encoder.encode(chunk))
            num_rows += len(chunk)
            if report:
                report(num_rows)
    num_long = encoder.num_long - long_before
    return EmbeddingFile(Path(out), num_rows, encoder.embedding_size, num_long)
