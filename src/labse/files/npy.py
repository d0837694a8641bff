"""Arrays in `.npy` files: written in pieces, mapped, and what rows of different lengths need.

Takes: arrays, or pieces of one whose length is known only at the end. Gives: files that
`numpy.load` reads and maps.
Source: NumPy's format description, numpy.lib.format, version 1.0.

Dimensions: N rows, D of a row, E entries of different lengths.
"""

import hashlib
import io
import mmap
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import ArrayLike, DTypeLike, NDArray

from labse.errors import LabseError, ResourceError
from labse.files.atomic import write_atomic
from labse.files.objects import local_file
from labse.files.system import reserve_space
from labse.files.text import unreadable

__all__ = [
    "RowReader",
    "Vectors",
    "as_float32",
    "find_bad_row",
    "gather_ragged",
    "hash_rows",
    "load_array",
    "map_new_array",
    "ragged_positions",
    "release_map",
    "save_array",
    "unit_rows",
    "write_array",
]


class SupportsDetach(Protocol):
    """A torch tensor, as far as a file that does not load torch can tell."""

    def detach(self) -> Any:  # noqa: ANN401  A tensor.
        """Returns the tensor without its graph."""


ValueT = TypeVar("ValueT", bound=np.generic)
Vectors: TypeAlias = ArrayLike | SupportsDetach | Sequence[SupportsDetach]
Append = Callable[[NDArray[Any]], None]

_BLOCK_ROWS = 8192
# What NumPy raises over a header, which it reads as Python; found by tests/faults/fuzz.py.
_BAD_HEADERS = (ValueError, TypeError, OverflowError, SyntaxError, MemoryError, TokenError)


@contextmanager
def write_array(
    path: str | Path,
    dtype: DTypeLike,
    row_shape: tuple[int, ...] = (),
    *,
    resume_rows: int | None = None,
) -> Iterator[Append]:
    """Gives a function that appends rows; the file stands there when the block ends well.

    Args:
        path: read it with `numpy.load`, also as a map.
        dtype: of the values; what is appended is cast.
        row_shape: what follows the first dimension.
        resume_rows: None starts anew, and a block that fails leaves nothing. A number keeps what
            the block has appended in `path` itself: each piece is on the disk when the function
            returns, and the next call goes on after so many rows.

    Raises:
        ResourceError: it cannot be written.
    """
    if resume_rows is None:
        with write_atomic(path) as stream:
            writer = _Writer(stream, dtype, row_shape)
            yield writer.append
            writer.write_header()
        return
    try:
        with Path(path).open("r+b" if resume_rows else "wb") as stream:
            writer = _Writer(stream, dtype, row_shape, resume_rows)
            yield writer.append_and_sync
            writer.write_header()
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        if error.filename not in (None, str(path)):
            raise
        raise ResourceError(f"{path}: cannot be written: {error.strerror or error}") from None


class _Writer:
    """Appends to the array in a stream of bytes."""

    def __init__(
        self, stream: IO[bytes], dtype: DTypeLike, row_shape: tuple[int, ...], num_rows: int = 0
    ) -> None:
        self._stream = stream
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._num_rows = num_rows
        self.write_header()
        row_bytes = self._dtype.itemsize * int(np.prod(row_shape, dtype=np.int64))
        stream.seek(num_rows * row_bytes, os.SEEK_CUR)
        stream.truncate()

    def append(self, rows: NDArray[Any]) -> None:
        self._stream.write(np.ascontiguousarray(rows, self._dtype).data)
        self._num_rows += len(rows)

    def append_and_sync(self, rows: NDArray[Any]) -> None:
        self.append(rows)
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def write_header(self) -> None:
        self._stream.seek(0)
        self._stream.write(_header(self._dtype, (self._num_rows, *self._row_shape)))


def save_array(
    path: str | Path, array: NDArray[Any], order: NDArray[np.int64] | None = None
) -> str:
    """Writes array[order] as `numpy.save` would, in constant memory, and returns its SHA-256.

    Raises:
        ResourceError: it cannot be written.
    """
    digest = hashlib.sha256()
    with write_atomic(path) as stream:
        for block in _serialize(array, order):
            digest.update(block)
            stream.write(block)
    return digest.hexdigest()


def _serialize(array: NDArray[Any], order: NDArray[np.int64] | None) -> Iterator[bytes]:
    num_rows = len(array) if order is None else len(order)
    is_transposed = order is None and np.isfortran(array)
    yield _header(array.dtype, (num_rows, *array.shape[1:]), is_transposed=is_transposed)
    rows = array.T if is_transposed else array
    for start in range(0, len(rows) if order is None else num_rows, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        yield np.ascontiguousarray(rows[block if order is None else order[block]]).tobytes()


def _header(dtype: np.dtype[Any], shape: tuple[int, ...], *, is_transposed: bool = False) -> bytes:
    """Returns what stands before the values; NumPy pads it so that the rows may grow in number."""
    stream = io.BytesIO()
    descr = npy_format.dtype_to_descr(dtype)
    npy_format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": is_transposed, "shape": shape}
    )
    return stream.getvalue()


def load_array(path: str | Path) -> NDArray[Any]:
    """Maps the array of a `.npy` file; nothing is unpickled.

    Raises:
        LabseError: it is missing, damaged or cut short.
    """
    try:
        array: NDArray[Any] = np.load(local_file(path), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LabseError(f"{path}: no such file") from None
    except _BAD_HEADERS:  # NumPy's own words advise to unpickle the file.
        raise LabseError(f"{path}: not a whole .npy file; write it again") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except EOFError as error:
        raise LabseError(f"{path}: not a whole .npy file ({error}); write it again") from None
    if not isinstance(array, np.ndarray):
        raise LabseError(f"{path}: an .npz archive; give a .npy file or a folder of labse encode")
    return array


def hash_rows(path: str | Path, num_rows: int) -> "hashlib._Hash":
    """Returns the running SHA-256 of the first rows of a `.npy` file, to be gone on with.

    The header may tell fewer: that of a file which was not finished does.

    Raises:
        LabseError: it is missing, damaged or cut short.
    """
    digest = hashlib.sha256()
    if not num_rows:
        return digest
    try:
        with Path(path).open("rb") as stream:
            npy_format.read_magic(stream)
            shape, _, dtype = npy_format.read_array_header_1_0(stream)
            left = num_rows * dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
            while left:
                content = stream.read(min(left, 1 << 20))
                if not content:
                    raise EOFError("cut short")
                digest.update(content)
                left -= len(content)
    except (OSError, EOFError, *_BAD_HEADERS) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabseError(f"{path}: not a whole .npy file ({reason}); write it again") from None
    return digest


def map_new_array(path: str | Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Maps a new `.npy` file for writing, whose disk space is taken first.

    Without that a full disk would kill the process with SIGBUS when a value is set.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    try:
        array = npy_format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        with Path(path).open("r+b") as stream:
            reserve_space(stream)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be written: {error.strerror or error}") from None
    return array


def release_map(array: NDArray[Any]) -> None:
    """Lets go of what was read of a file mapped for reading; it stays in the system's cache."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and not array.flags.writeable:
        base.madvise(mmap.MADV_DONTNEED)


class RowReader:
    """Reads consecutive rows of a `.npy` file, past any map.

    What is read of a map counts as memory of this process, and a system may map megabytes for a
    single row; what is read from the file is gone with the rows. The file stays open: to open it
    for each row took ten times as long as to read the row.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens the file.

        Raises:
            LabseError: it is missing, damaged or cut short.
        """
        array = load_array(path)
        self._path, self._dtype, self._row_shape = path, array.dtype, array.shape[1:]
        self._row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        self._stream = Path(path).open("rb", buffering=0)  # noqa: SIM115  Until no page is read.
        weakref.finalize(self, self._stream.close)
        self._start = Path(path).stat().st_size - array.nbytes

    def read(self, part: slice) -> NDArray[Any]:
        """Returns some rows.

        Raises:
            LabseError: the file has become shorter.
        """
        rows = np.empty((part.stop - part.start, *self._row_shape), self._dtype)
        self._stream.seek(self._start + part.start * self._row_bytes)
        if self._stream.readinto(rows.view(np.uint8).data) != rows.nbytes:
            raise LabseError(f"{self._path}: not a whole .npy file (cut short); write it again")
        return rows


def ragged_positions(
    starts: NDArray[np.int64] | int, lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the positions of entries of different lengths, one entry after the other.

    For starts (E,) 5, 0 and lengths 2, 3 these are 5, 6, 0, 1, 2: `values[positions]` gathers the
    entries, whose rows are `numpy.repeat(numpy.arange(E), lengths)`. Starts of 0 give the place of
    each value in its entry.
    """
    ends = np.cumsum(lengths)
    shifts = np.repeat(starts - (ends - lengths), lengths)
    return shifts + np.arange(len(shifts))


def gather_ragged(
    values: NDArray[ValueT], offsets: NDArray[np.int64], entries: NDArray[np.integer[Any]]
) -> tuple[NDArray[ValueT], NDArray[np.int64]]:
    """Returns the values of some entries, one after the other, and the length of each.

    Args:
        values: of all entries, one after the other.
        offsets: where each begins, and the end of the last.
        entries: numbers of those to gather, in any order.
    """
    starts = offsets[entries]
    lengths = offsets[entries + 1] - starts
    return values[ragged_positions(starts, lengths)], lengths


def as_float32(vectors: Vectors) -> NDArray[np.float32]:
    """Returns an array of lists, arrays or torch tensors, on any device and of any type."""
    if hasattr(vectors, "detach"):
        return np.asarray(vectors.detach().cpu().float().numpy(), np.float32)
    if isinstance(vectors, list | tuple) and any(hasattr(row, "detach") for row in vectors):
        return np.stack([as_float32(row) for row in vectors])
    return np.asarray(vectors, np.float32)


def find_bad_row(embeddings: NDArray[np.floating]) -> tuple[int, str] | None:
    """Finds the first row of (N, D) that has no direction, as no embedding is.

    Returns:
        Its number, and "NaN or infinity" or "only zeros"; None if all rows are good.
    """
    # Row by row sums of squares: no boolean copy of the whole array.
    squares = np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64)
    is_bad = ~(np.isfinite(squares) & (squares > 0))
    if not is_bad.any():
        return None
    row = int(np.argmax(is_bad))
    return row, "only zeros" if squares[row] == 0 else "NaN or infinity"


def unit_rows(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (N, D) rows of length 1 of any others.

    Raises:
        ValueError: a row holds NaN, infinity or only zeros.
    """
    if bad := find_bad_row(embeddings):
        raise ValueError(f"row {bad[0]} holds {bad[1]}, which has no direction")
    units: NDArray[np.float32] = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return units
