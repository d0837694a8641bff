r"""Text in: strict UTF-8 lines split on `\n` only, from plain or compressed files.

Takes: paths (plain, `.bz2`, `.gz`, `.zst`; `-` is standard input). Gives: lines, or bytes.
Source: docs/design.md, promises.
"""

import bz2
import contextlib
import errno
import gzip
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TypeVar, cast

import zstandard

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.objects import local_file

__all__ = [
    "MAX_LINE_VARIABLE",
    "as_list",
    "format_suffix",
    "max_line_bytes",
    "open_binary",
    "read_chunks",
    "read_lines",
    "read_whole",
    "refuse_one_text",
    "unreadable",
]

ItemT = TypeVar("ItemT", bound=str | Path)

# In the environment, so that worker processes have it too; `labse --max-line` sets it.
MAX_LINE_VARIABLE = "LABSE_MAX_LINE_BYTES"
_MAX_LINE_BYTES = 16 << 20  # A book has about 1 MB. 320 KB of .zst may hold a line of 10 GB.

# Of settings; a tokenizer of half a million pieces has 40 MB.
_MAX_WHOLE_BYTES = 1 << 30
# A damaged disk, a file of a system that is gone, a device.
_READ_ERRORS = (errno.EIO, errno.ESTALE, errno.EISDIR, errno.EINVAL, errno.ENXIO)
# Not the file's fault but that of the machine: a disk that is lost, a limit that is reached.
_MACHINE_ERRORS = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)

_COMPRESSIONS = (".bz2", ".gz", ".zst")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_DAMAGES = (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError)
_CHUNK_BYTES = 1 << 20
# A zstd block of 4 bytes may stand for 128 KiB, so compressed bytes go in small steps: 1 KiB reads
# text as fast as 1 MiB does (python-zstandard 0.25, measured), and memory stays bounded.
_ZSTD_STEP_BYTES = 1 << 10


def as_list(items: ItemT | Iterable[ItemT]) -> list[ItemT]:
    """Returns paths or names as a list; one of them is a list of one, and not of its letters."""
    if isinstance(items, str | Path):
        return [items]
    return list(items)


def refuse_one_text(texts: object, name: str) -> None:
    """Refuses one text where many are meant, which would be taken letter by letter.

    Raises:
        TypeError: it is one text.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"{name}: expected a list of texts, found one text; put it into a list")


def format_suffix(path: str | Path) -> str:
    """Returns the suffix that names the format, `.tsv` for `pairs.tsv.gz`; `""` if none."""
    path = Path(path)
    return (Path(path.stem).suffix if path.suffix in _COMPRESSIONS else path.suffix).lower()


def read_lines(path: str | Path) -> Iterator[str]:
    r"""Yields each line without its end (`\n` or `\r\n`), without a byte order mark.

    Only `\n` ends a line: U+2028, U+0085 and form feeds stay inside, where str.splitlines would
    shift every later row. Memory is bounded by the longest line, which is bounded itself.

    Raises:
        LabseError: no such file, invalid UTF-8 (with file and line), a line longer than
            `max_line_bytes()`, or a truncated archive.
    """
    number = 0
    try:
        for number, raw in enumerate(_iter_raw_lines(path), start=1):
            line = raw.removesuffix(b"\r")
            if number == 1:
                if line.startswith(_UTF16_MARKS):
                    raise LabseError(
                        f"{path}, line 1: not valid UTF-8 but UTF-16; convert the file first, "
                        "for example with iconv -f UTF-16"
                    )
                line = line.removeprefix(b"\xef\xbb\xbf")
            yield line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LabseError(
            f"{path}, line {number}: not valid UTF-8 (byte {error.start + 1} of the line); "
            "convert the file first, for example with iconv"
        ) from None
    except _DAMAGES as error:
        raise LabseError(
            f"{path}: the archive is damaged or cut short after line {number} ({error}); "
            "fetch or compress it again"
        ) from None


def read_chunks(path: str | Path, *, start: int = 0) -> Iterator[bytes]:
    """Yields the bytes of a file, decompressed by its suffix, at most 1 MiB at a time.

    Args:
        path: the file.
        start: the byte on disk to begin at, where a member of the archive begins.

    Raises:
        LabseError: no such file, or a truncated archive.
    """
    num_bytes = 0
    try:
        for chunk in _iter_chunks(path, start):
            yield chunk
            num_bytes += len(chunk)
    except _DAMAGES as error:
        raise LabseError(
            f"{path}: the archive is damaged or cut short after {num_bytes} bytes of content "
            f"({error}); fetch or compress it again"
        ) from None


def max_line_bytes() -> int:
    """Returns the most bytes that a line of text, or a piece of XML without a tag, may have.

    Raises:
        UsageError: the environment has something else than a number of bytes.
    """
    stated = os.environ.get(MAX_LINE_VARIABLE, "")
    if not stated:
        return _MAX_LINE_BYTES
    if not stated.isascii() or not stated.isdigit() or not int(stated):
        raise UsageError(f"{MAX_LINE_VARIABLE} is {stated!r}; give a number of bytes")
    return int(stated)


def _iter_raw_lines(path: str | Path) -> Iterator[bytes]:
    pending: list[bytes] = []
    num_pending, num_lines, most = 0, 0, max_line_bytes()
    for chunk in _iter_chunks(path):
        first, *rest = chunk.split(b"\n")
        pending.append(first)
        num_pending += len(first)
        if num_pending > most:
            raise LabseError(
                f"{path}, line {num_lines + 1}: longer than {most >> 20} MiB, so it is hardly a "
                "sentence; split the text, or raise the bound with labse --max-line"
            )
        if rest:
            yield b"".join(pending)
            yield from rest[:-1]
            pending, num_pending = [rest[-1]], len(rest[-1])
            num_lines += len(rest)
    if last := b"".join(pending):
        yield last


def _iter_chunks(path: str | Path, start: int = 0) -> Iterator[bytes]:
    with open_binary(path) as stream:
        if start:
            stream.seek(start)
        suffix, file = Path(path).suffix, local_file(path)
        if suffix in _COMPRESSIONS and file.is_file() and not file.stat().st_size:
            raise EOFError("it has 0 bytes")
        if suffix == ".gz":
            stream = cast("BufferedReader", gzip.GzipFile(fileobj=stream))
        chunks = iter(lambda: stream.read(_CHUNK_BYTES), b"")
        if suffix == ".bz2":
            chunks = _unbz2(chunks)
        yield from _unzstd(chunks) if suffix == ".zst" else chunks


def _unbz2(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses concatenated streams; unlike `bz2.BZ2File`, notices a broken later one."""
    stream: bz2.BZ2Decompressor | None = None
    try:
        for chunk in chunks:
            step = chunk
            while step or (stream and not stream.needs_input):
                stream = stream or bz2.BZ2Decompressor()
                if content := stream.decompress(step, _CHUNK_BYTES):
                    yield content
                step = stream.unused_data  # Empty until the end of the stream.
                if stream.eof:
                    stream = None
    except OSError as error:
        if error.errno is not None:
            raise
        raise EOFError(str(error)) from None
    if stream is not None:
        raise EOFError("the last stream has no end")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompresses concatenated frames; unlike `stream_reader`, notices a frame cut short."""
    frame = None
    for step in _slice(chunks, _ZSTD_STEP_BYTES):
        while step:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield from _slice([frame.decompress(step)], _CHUNK_BYTES)
            step = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the last frame has no end")


def _slice(chunks: Iterable[bytes], num_bytes: int) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), num_bytes):
            yield chunk[start : start + num_bytes]


def read_whole(path: str | Path, *, max_bytes: int = _MAX_WHOLE_BYTES) -> bytes:
    """Returns the bytes of a file of settings, which is small and lies on the disk.

    Raises:
        LabseError: it cannot be read, is larger, or is no file: a folder of a stranger may hold a
            pipe, or a link to a device that never ends.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise LabseError(f"{path}: is a device or pipe, not a file; nothing of it is read")
    with open_binary(path) as stream:
        if os.fstat(stream.fileno()).st_size > max_bytes:
            raise LabseError(f"{path}: larger than {max_bytes >> 20} MiB, so it holds no settings")
        return stream.read()


@contextlib.contextmanager
def open_binary(path: str | Path) -> Iterator[BufferedReader]:
    """Opens the bytes of a file as they lie on disk, or of an object; `-` is standard input.

    Raises:
        LabseError: no such file, or it cannot be read, which may come out in the block.
        ResourceError: the disk does not answer, or too many files are open.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise LabseError("-: standard input is closed; give a file")
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    try:
        stream = local_file(path).open("rb")
    except FileNotFoundError:
        raise LabseError(f"{path}: no such file") from None
    except ValueError:  # A zero byte, which no name can hold.
        raise LabseError(f"{str(path)!r}: not the name of a file") from None
    except OSError as error:
        raise unreadable(path, error) from None
    with stream:
        try:
            yield stream
        except OSError as error:
            # Of a read: nothing else in the block fails without the name of a file.
            if error.filename is not None or error.errno not in _READ_ERRORS:
                raise
            raise unreadable(path, error) from None


def unreadable(path: str | Path, error: OSError) -> LabseError:
    """Returns the error to raise over a file: bad data, or something that the machine lacks."""
    error_type = ResourceError if error.errno in _MACHINE_ERRORS else LabseError
    return error_type(f"{path}: cannot be read: {error.strerror or error}")
