"""Whole files or none: atomic writes, hashes, JSON, and the manifest beside every artifact.

Takes: paths. Gives: files that appear under their name only when they are whole.
Source: docs/design.md, promises.
"""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.text import open_binary

__all__ = [
    "MANIFEST_NAME",
    "check_writable",
    "read_json",
    "sha256_file",
    "write_atomic",
    "write_json",
]

MANIFEST_NAME = "manifest.json"
# EFBIG: the size that the user's limits allow. None: numpy tells a short write without a number.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)


@contextlib.contextmanager
def write_atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside `path` that takes its name when the block ends well.

    After an error or a kill nothing stands under `path` but what stood there before. A link stays
    one: the file that it points to is replaced.

    Raises:
        ResourceError: `path` is or lies in something that cannot be written, or the disk is full.
        UsageError: `path` names no file, or a device or pipe, which a file would replace.
    """
    target, temporary = _choose_places(path)
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        is_own = error.filename is not None and str(error.filename) == str(temporary)
        is_full = error.filename is None and error.errno in _FULL
        if is_own or is_full:  # Another file may fail inside the block; that is not ours to tell.
            raise _cannot_write(path, error) from None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: str | Path) -> None:
    """Raises what `write_atomic` would raise, before the hours of work that make the content.

    Raises:
        ResourceError, UsageError: see `write_atomic`.
    """
    target, temporary = _choose_places(path)
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from None


def _choose_places(path: str | Path) -> tuple[Path, Path]:
    """Returns the file to make, behind all links, and the temporary one beside it."""
    if str(path) in ("-", "", "."):
        raise UsageError(f"{str(path)!r} names no file to write; give the name of one")
    # Those of os.path raise nothing, whatever the name; opening the file then tells what is wrong.
    target = Path(os.path.realpath(path))
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise UsageError(f"{path}: is a device or pipe, not a file; give the name of a file")
    return target, target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _cannot_write(path: str | Path, error: OSError) -> ResourceError:
    return ResourceError(f"{path}: cannot be written: {error.strerror or error}")


def sha256_file(path: str | Path) -> str:
    """Returns the SHA-256 of the bytes on disk, in hexadecimal.

    Raises:
        LabseError: the file cannot be read.
    """
    with open_binary(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: str | Path) -> dict[str, object]:
    """Returns the object in a JSON file.

    Raises:
        LabseError: no such file, or it does not hold one JSON object.
    """
    with open_binary(path) as stream:
        payload = stream.read()
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise LabseError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise LabseError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def write_json(path: str | Path, value: Mapping[str, object]) -> None:
    """Writes one JSON object, indented, atomically."""
    payload = json.dumps(value, ensure_ascii=False, indent=2)
    with write_atomic(path) as stream:
        # A file name that is no Unicode holds surrogates, which JSON writes like Python: \\udcff.
        stream.write(payload.encode(errors="backslashreplace") + b"\n")
