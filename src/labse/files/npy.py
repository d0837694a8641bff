"""Arrays written to `.npy` files a piece at a time, of a length that is known only at the end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import DTypeLike, NDArray

from labse.files.atomic import write_atomic

__all__ = ["write_array"]


@contextmanager
def write_array(
    path: Path, dtype: DTypeLike, row_shape: tuple[int, ...] = ()
) -> Iterator[Callable[[NDArray[np.generic]], None]]:
    """Gives a function that appends rows; the file stands there when the block ends well.

    Args:
        path: read it with `numpy.load`, also as a map.
        dtype: of the values; what is appended is cast.
        row_shape: what follows the first dimension.

    Raises:
        ResourceError: it cannot be written.
    """
    descr = npy_format.dtype_to_descr(np.dtype(dtype))
    num_rows = 0
    with write_atomic(path) as stream:

        def write_header() -> None:
            header = {"descr": descr, "fortran_order": False, "shape": (num_rows, *row_shape)}
            npy_format.write_array_header_1_0(stream, header)

        def append(rows: NDArray[np.generic]) -> None:
            nonlocal num_rows
            stream.write(np.ascontiguousarray(rows, dtype).tobytes())
            num_rows += len(rows)

        write_header()
        yield append
        # NumPy pads the header so that the number of rows may grow in its place.
        stream.seek(0)
        write_header()
