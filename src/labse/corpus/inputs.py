"""Input files as a manifest names them.

Takes: paths. Gives: their SHA-256, and how many rows were read. Source: docs/design.md, promises.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labse.errors import UsageError
from labse.files.atomic import sha256_file
from labse.files.object_store import find_url
from labse.files.objects import identify

__all__ = ["InputFile", "hash_files", "list_inputs"]


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file that something was made from."""

    path: str
    """As it was given, so that a manifest does not tell where a home directory lies."""
    sha256: str
    num_rows: int


def hash_files(files: Iterable[str | Path], *, folder: Path | None = None) -> dict[str, str]:
    """Returns the SHA-256 of each file by its name as given; of an object, what the store tells.

    Args:
        files: relative ones start at `folder`, or at the working directory if that is None.
        folder: where relative paths start.

    Raises:
        LabseError: a file cannot be read.
        UsageError: a file is given twice, under one name or two, or is standard input, a pipe or a
            device, which can be read but once.
    """
    hashes: dict[str, str] = {}
    names: dict[str, str | Path] = {}
    for file in files:
        if str(file) == "-":
            raise UsageError("the files are read twice, so none can be standard input (-)")
        if str(file) in hashes:
            raise UsageError(f"{file} is given twice; name each file once")
        if url := find_url(file):
            hashes[url] = identify(url)
            continue
        path = folder / file if folder else Path(file)
        if (first := names.setdefault(os.path.realpath(path), file)) is not file:
            raise UsageError(f"{first} and {file} are one file; name it once")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise UsageError(f"{file}: is a device or pipe, and read twice; write it to a file")
        hashes[str(file)] = sha256_file(path)
    return hashes


def list_inputs(hashes: Mapping[str, str], num_rows: Mapping[str, int]) -> tuple[InputFile, ...]:
    """Joins the results of `hash_files` and of reading."""
    return tuple(InputFile(path, digest, num_rows[path]) for path, digest in hashes.items())
