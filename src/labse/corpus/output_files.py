"""Output files: compressed by their suffix, and whole or not there at all.

Takes: a path; `-` is standard output. Gives: a stream of bytes to write to.
Source: docs/design.md, promises.
"""

import bz2
import contextlib
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import zstandard

from labse.files.atomic import write_atomic

__all__ = ["open_output"]

_ZSTD_LEVEL = 3  # The default of zstd.


@contextlib.contextmanager
def open_output(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a file that is written atomically and compressed by its suffix; `-` is standard output.

    Raises:
        ResourceError, UsageError: see `write_atomic`.
    """
    if str(path) == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    suffix = Path(path).suffix.lower()
    with write_atomic(path) as stream:
        if suffix == ".gz":  # Without name and time: the same rows give the same bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                yield cast("IO[bytes]", packed)
        elif suffix == ".bz2":
            with bz2.BZ2File(stream, "wb") as packed:
                yield cast("IO[bytes]", packed)
        elif suffix == ".zst":
            compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
            with compressor.stream_writer(stream, closefd=False) as packed:
                yield cast("IO[bytes]", packed)
        else:
            yield stream
