"""Temporary files and folders, and what a kill has left of them.

Takes: the name of what is made. Gives: a place for it meanwhile; it is locked, so that what nobody
holds any more is known, and goes.
Source: docs/design.md, promises.
"""

import atexit
import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from labse.errors import ResourceError, UsageError
from labse.files.system import open_unfollowed, try_lock

__all__ = [
    "cannot_write",
    "find_final_name",
    "keep_temporary_folder",
    "remove_leftovers",
    "scratch_folder",
    "temporary_folder",
    "temporary_name",
]

_TEMPORARY = re.compile(r"\.(.+)\.\d+-[0-9a-f]{8}\.(tmp|old)", re.DOTALL)


@contextlib.contextmanager
def scratch_folder(target: Path, *, mode: int = 0o777) -> Iterator[Path]:
    """Gives a folder beside `target` that is removed at the end; a kill leaves it to the next call.

    Raises:
        ResourceError: it cannot be made.
    """
    remove_leftovers(target)
    temporary = temporary_name(target)
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode, parents=True)
        # Windows opens no folder: there it stands unlocked, and after a kill it is left.
        descriptor = None if os.name == "nt" else os.open(temporary, os.O_RDONLY)
    except OSError as error:
        raise cannot_write(target, error) from None
    try:
        if descriptor is not None:
            try_lock(descriptor)
        yield temporary
    finally:
        if descriptor is not None:
            os.close(descriptor)
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Gives a folder in the system's place for temporary files, removed at the end.

    A process that is killed leaves it to the next one that asks for such a folder, since it may
    hold gigabytes.

    Raises:
        ResourceError: it cannot be made.
    """
    with scratch_folder(Path(tempfile.gettempdir(), "labse"), mode=0o700) as folder:
        yield folder


def keep_temporary_folder(name: str) -> Path:
    """Makes a temporary folder, once a process and name, for as long as the process lives.

    Raises:
        ResourceError: it cannot be made.
    """
    stack = contextlib.ExitStack()
    target = Path(tempfile.gettempdir(), name)
    folder = stack.enter_context(scratch_folder(target, mode=0o700))
    atexit.register(stack.close)
    return folder


def remove_leftovers(target: Path) -> None:
    """Clears away what killed processes left beside a file or folder that they were writing.

    A folder that was put aside and never replaced comes back. What is being written is locked, and
    stays.
    """
    aside = sorted(_iter_leftovers(target, "old"))
    if aside and not target.exists():
        aside.pop().replace(target)
    for left in (*aside, *_iter_leftovers(target, "tmp")):
        with contextlib.suppress(OSError):
            descriptor = open_unfollowed(left, os.O_RDONLY)
            try:
                is_abandoned = try_lock(descriptor)
                if is_abandoned and os.name != "nt":
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
            finally:
                os.close(descriptor)
            if is_abandoned and os.name == "nt":  # Which removes nothing that is open.
                left.unlink()


def find_final_name(name: str) -> str:
    """Returns the name of the file or folder for which a temporary one stands; else nothing."""
    match = _TEMPORARY.fullmatch(name)
    return match[1] if match else ""


def cannot_write(path: str | Path, error: OSError) -> ResourceError:
    """Returns the error to raise over a file or folder that the system does not let us write."""
    return ResourceError(f"{path}: cannot be written: {error.strerror or error}")


def _iter_leftovers(target: Path, suffix: str) -> Iterator[Path]:
    if not target.name:  # The root, or the folder we are in: nothing there is a leftover of it.
        return
    with contextlib.suppress(OSError):  # No such folder, so nothing was left in it.
        for name in os.listdir(target.parent):
            if find_final_name(name) == target.name and name.endswith(f".{suffix}"):
                yield target.parent / name


def temporary_name(target: Path, suffix: str = "tmp") -> Path:
    """Returns the path beside `target` under which this process makes it, or puts it aside.

    Raises:
        UsageError: the target has no name.
    """
    if target.name in ("", ".."):
        raise UsageError(f"'{target}' cannot be replaced; give the name of something in it")
    return target.with_name(f".{target.name}.{os.getpid()}-{_draw_token()}.{suffix}")


@cache
def _draw_token() -> str:
    """Returns what tells processes of one number apart: those of two hosts may share a disk."""
    return secrets.token_hex(4)
