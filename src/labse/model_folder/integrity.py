"""What the manifest of a model folder promises of its files, checked in a thread beside other work.

Takes: a folder. Gives: nothing, or the error that names the file. Source: docs/design.md, promises.
"""

import contextlib
import hashlib
import mmap
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, listed_file, read_json, sha256_file

__all__ = ["check_hashes", "checked_beside", "listed_hashes"]


def listed_hashes(folder: Path) -> dict[str, str] | None:
    """Returns the SHA-256 of each file by its name in the folder; None for a folder of others.

    Raises:
        LabseError: the manifest is damaged, or names a file outside the folder.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    files = read_json(path).get("files", {})
    if not isinstance(files, dict):
        raise LabseError(f"{path}: 'files' is not an object")
    for name in files:
        listed_file(folder, name)
    return files


def check_hashes(folder: Path, listed: Mapping[str, str]) -> None:
    """Compares the files with their hashes.

    Raises:
        LabseError: the first that differs or cannot be read.
    """
    for name, expected in listed.items():
        if _hash_mapped(folder / name) != expected:
            raise LabseError(
                f"{folder / name}: its SHA-256 is not the one in {MANIFEST_NAME}; "
                "the file was changed or damaged, copy the folder again"
            )


@contextlib.contextmanager
def checked_beside(check: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Runs a check in a thread while the block runs; the block ends well only if both do.

    What the check raises goes before an error of the block, which it may well explain. Gives a
    function that waits for the check and raises what it found.
    """
    errors: list[Exception] = []

    def run() -> None:
        try:
            check()
        except Exception as error:
            errors.append(error)

    # No pool: a signal whose handler raises would leave one of its locks locked.
    thread = threading.Thread(target=run, name="labse-check", daemon=True)
    thread.start()

    def wait() -> None:
        thread.join()
        if errors:
            raise errors[0] from None

    try:
        yield wait
    except Exception:
        wait()
        raise
    wait()


def _hash_mapped(path: Path) -> str:
    """Returns what `sha256_file` does, without a copy, and in one call.

    A call that reads in pieces takes the interpreter's lock for each, and waits while the
    tokenizer is loaded.
    """
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return hashlib.sha256(content).hexdigest()
    except (OSError, ValueError):  # No file, an empty one, or none of a disk.
        return sha256_file(path)
