"""A folder that takes the place of another one whole, or not at all.

Takes: the folder to make. Gives: a temporary one to fill. Source: docs/design.md, promises.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from labse.errors import ResourceError

__all__ = ["files_in", "replace_folder"]


@contextlib.contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Gives a temporary folder that takes the place of `target` when the block ends well.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # Of a killed run with the same number.
        temporary.mkdir(parents=True)
        yield temporary
        for file in files_in(temporary):
            # safetensors 0.8 writes for the owner alone; the folder's mode follows the umask.
            file.chmod(temporary.stat().st_mode & 0o666)
            _sync(file)
        _move_into_place(temporary, target)
        _sync(target.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResourceError(f"{target}: cannot be written: {reason}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into_place(temporary: Path, target: Path) -> None:
    """Renames; a folder that stood there is put aside first, and back if that fails."""
    if not target.exists():
        temporary.replace(target)
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.replace(aside)
    try:
        temporary.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_in(folder: Path) -> list[Path]:
    """Returns the files of a folder and its folders; none if there is no such folder."""
    return [path for path in folder.rglob("*") if not path.is_dir()]
