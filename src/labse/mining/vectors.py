"""Vectors of distinct lines on disk, made chunk by chunk; a killed run goes on with the next.

Takes: an encoder and lines, or vectors that are there already. Gives: (U, D) float32, mapped.
Source: docs/design.md, promises: resumes to the same bytes.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from labse.encoder.protocol import Encoder, encode_sentences
from labse.errors import LabseError, ResourceError
from labse.files.atomic import read_json, write_json
from labse.files.npy import find_bad_row
from labse.mining.line_store import LineStore
from labse.search.knn import OnProgress

__all__ = ["Releasable", "Rows", "VectorSource", "encoded_lines", "given_rows", "write_vectors"]

_CHUNK_ROWS = 16_384  # 48 MiB of 768 dimensions.
_NAME, _PARTIAL, _STATE = "vectors.npy", "vectors.partial", "vectors.json"

VectorSource = Callable[[int], Iterator[NDArray[np.float32]]]
"""Yields chunks of vectors from a row on."""


@runtime_checkable
class Rows(Protocol):
    """Vectors that are read by row number, such as an array or `labse encode`'s folder."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, D)."""
        ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> NDArray[np.floating]:
        """Returns some rows."""
        ...


@runtime_checkable
class Releasable(Protocol):
    """Rows of a mapped file, of which a million that were read would fill the memory."""

    def release(self) -> None:
        """Lets go of what was read."""
        ...


def encoded_lines(encoder: Encoder, store: LineStore) -> VectorSource:
    """Embeds the distinct lines of a store in their order."""

    def chunks(start: int) -> Iterator[NDArray[np.float32]]:
        lines = store.read(range(start, len(store)))
        while sentences := list(_take(lines, _CHUNK_ROWS)):
            yield encode_sentences(encoder, sentences)

    return chunks


def given_rows(rows: Rows, numbers: NDArray[np.int64], name: str) -> VectorSource:
    """Takes some of given vectors, such as those of the first of equal lines; unit or not.

    Raises:
        LabseError: on reading, a row of NaN, infinity or zeros only, with its number.
    """

    def chunks(start: int) -> Iterator[NDArray[np.float32]]:
        for first in range(start, len(numbers), _CHUNK_ROWS):
            wanted = numbers[first : first + _CHUNK_ROWS]
            vectors = np.asarray(rows[wanted], np.float32)
            if bad := find_bad_row(vectors):
                row, fault = bad
                raise LabseError(f"{name}, row {wanted[row]} (from 0): {fault}; embed it again")
            if isinstance(rows, Releasable):
                rows.release()
            yield vectors

    return chunks


def _take(lines: Iterator[str], count: int) -> Iterator[str]:
    for _, line in zip(range(count), lines, strict=False):
        yield line


def write_vectors(
    chunks: VectorSource,
    num_rows: int,
    folder: Path,
    on_progress: OnProgress | None = None,
) -> NDArray[np.float32]:
    """Writes all chunks, from where an earlier run was killed, and maps the file.

    Raises:
        LabseError: the chunks are not `num_rows` rows of one width.
        ResourceError: they cannot be written.
    """
    path = folder / _NAME
    if not path.exists():
        try:
            _write_chunks(chunks, num_rows, folder, on_progress)
        except OSError as error:
            if error.filename not in (None, str(folder / _PARTIAL)):
                raise
            reason = error.strerror or error
            raise ResourceError(f"{folder / _PARTIAL}: cannot be written: {reason}") from None
        (folder / _PARTIAL).replace(path)
        (folder / _STATE).unlink(missing_ok=True)
    if on_progress:
        on_progress(num_rows, num_rows)
    vectors: NDArray[np.float32] = np.load(path, mmap_mode="r" if num_rows else None)
    return vectors


def _write_chunks(
    chunks: VectorSource, num_rows: int, folder: Path, on_progress: OnProgress | None
) -> None:
    state = read_json(folder / _STATE) if (folder / _STATE).exists() else {}
    done, width = int(str(state.get("rows", 0))), int(str(state.get("width", 0)))
    with (folder / _PARTIAL).open("r+b" if done else "wb") as stream:
        for chunk in chunks(done):
            width = width or chunk.shape[1]
            if chunk.shape[1] != width:
                raise LabseError(f"vectors of {chunk.shape[1]} dimensions after some of {width}")
            stream.seek(0)
            header = {"descr": "<f4", "fortran_order": False, "shape": (num_rows, width)}
            npy_format.write_array_header_1_0(stream, header)
            stream.seek(stream.tell() + done * width * 4)
            stream.write(np.ascontiguousarray(chunk, "<f4").data)
            stream.flush()
            os.fsync(stream.fileno())
            done += len(chunk)
            write_json(folder / _STATE, {"rows": done, "width": width})
            if on_progress:
                on_progress(done, num_rows)
        if not num_rows:
            header = {"descr": "<f4", "fortran_order": False, "shape": (0, 1)}
            npy_format.write_array_header_1_0(stream, header)
    if done != num_rows:
        raise LabseError(f"{folder}: {done} vectors for {num_rows} lines")
