"""A file of sentences to a `.npy` file of vectors, row for line, in constant memory.

Takes: an encoder, lines. Gives: (N, D) float32 on disk, readable with `numpy.load`.
Source: NumPy's format description, numpy.lib.format, version 1.0.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from labse.files import read_lines, write_atomic

__all__ = ["EmbeddingFile", "encode_file"]

_CHUNK_SENTENCES = 65_536  # 192 MiB of vectors of 768 dimensions; equal sentences in it meet.


class _Encoder(Protocol):
    @property
    def embedding_size(self) -> int: ...

    @property
    def num_truncated(self) -> int: ...

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """What was written: (num_rows, embedding_size) float32."""

    path: Path
    num_rows: int
    embedding_size: int
    num_truncated: int


def encode_file(
    encoder: _Encoder,
    source: str | Path,
    out: str | Path,
    *,
    chunk_sentences: int = _CHUNK_SENTENCES,
    report: Callable[[int], None] | None = None,
) -> EmbeddingFile:
    """Encodes each line, empty ones included; row i of the result is line i.

    Args:
        encoder: gives the vectors.
        source: text, plain, `.gz` or `.zst`; `-` is standard input.
        out: the `.npy` file; it stands there when it is whole.
        chunk_sentences: lines that are held at a time.
        report: called with the number of rows done.

    Raises:
        LabseError: the input cannot be read.
        ResourceError: `out` cannot be written.
    """
    truncated_before = encoder.num_truncated
    lines = read_lines(source)
    num_rows = 0
    with write_atomic(out) as stream:
        _write_header(stream, num_rows, encoder.embedding_size)
        while chunk := list(itertools.islice(lines, chunk_sentences)):
            stream.write(np.ascontiguousarray(encoder.encode(chunk), "<f4").tobytes())
            num_rows += len(chunk)
            if report:
                report(num_rows)
        # NumPy pads the header so that the number of rows may grow in its place.
        stream.seek(0)
        _write_header(stream, num_rows, encoder.embedding_size)
    num_truncated = encoder.num_truncated - truncated_before
    return EmbeddingFile(Path(out), num_rows, encoder.embedding_size, num_truncated)


def _write_header(stream: IO[bytes], num_rows: int, embedding_size: int) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (num_rows, embedding_size)}
    npy_format.write_array_header_1_0(stream, header)
