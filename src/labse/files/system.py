"""What operating systems do differently: locks, open folders, reserved space, processors.

Takes: descriptors and paths. Gives: the same promise on each system, or the nearest that it has.
Source: the Python library reference, `fcntl`, `msvcrt` and `os`.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import IO, Any

__all__ = [
    "cache_folder",
    "count_cpus",
    "count_threads",
    "find_seen",
    "open_unfollowed",
    "real_path",
    "reserve_space",
    "sync",
    "try_lock",
]

# Windows locks bytes, which nobody else can then read: one far behind what a file here holds.
_LOCKED_BYTE = 1 << 40
_LOOK_SECONDS = 0.2


def _find_module(name: str) -> Any:  # noqa: ANN401 - a module of one kind of system alone
    with contextlib.suppress(ImportError):
        return import_module(name)
    return None


_fcntl, _msvcrt = _find_module("fcntl"), _find_module("msvcrt")


def try_lock(descriptor: int) -> bool | None:
    """Locks an open file or folder until it is closed; the kernel unlocks it when a process dies.

    Returns:
        Whether this process has the lock; None where the system or file system has no locks.
    """
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        elif _msvcrt is not None:
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            try:
                _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, position, os.SEEK_SET)
        else:
            return None
    except BlockingIOError:
        return False
    except OSError:  # Windows: it is held. Else Lustre without -o flock, some FUSE and NFS mounts.
        return False if _fcntl is None else None
    return True


def open_unfollowed(path: Path, flags: int) -> int:
    """Opens a file that is no link, without waiting for a pipe of that name; gives its descriptor.

    Raises:
        OSError: it cannot be opened; ELOOP for a link. Windows opens no folder: EACCES.
    """
    names = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
    for name in names:
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o666)


def find_seen(paths: Iterable[Path], stop: float) -> Path | None:
    """Waits for the first of some files of another machine, as on a network file system.

    Args:
        paths: where it may be.
        stop: a monotonic time; None is returned if none is seen then.
    """
    places = [*paths]
    while True:
        if found := next(filter(Path.is_file, places), None):
            return found
        if time.monotonic() > stop:
            return None
        for path in places:
            with contextlib.suppress(OSError):
                os.listdir(path.parent)  # Makes NFS look again.
        time.sleep(_LOOK_SECONDS)


def real_path(path: str | Path) -> Path:
    """Returns the place behind all links; unlike `Path.resolve` a loop of links raises nothing."""
    return Path(os.path.realpath(path))


def sync(path: Path) -> None:
    """Waits until a file, or the list of names in a folder, is on the disk.

    Windows opens no folder, and has no call for this: its file system keeps a log of names.
    """
    if os.name == "nt" and path.is_dir():
        return
    # Windows syncs only what may be written.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reserve_space(stream: IO[bytes]) -> None:
    """Takes the disk space of a file of its present size, holes included.

    Raises:
        OSError: the disk is full.
    """
    size = os.fstat(stream.fileno()).st_size
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(stream.fileno(), 0, size)
        return
    # macOS and Windows: what is written is there. The file is new, so that nothing is lost.
    stream.seek(0)
    head = stream.read(min(size, 1 << 12))
    zeros = bytes(1 << 20)
    stream.seek(len(head))
    for start in range(len(head), size, len(zeros)):
        stream.write(zeros[: size - start])
    stream.flush()


def cache_folder(name: str) -> Path:
    """Returns `$LABSE_CACHE/name`, else `$XDG_CACHE_HOME/labse/name`, else under `~/.cache`."""
    if folder := os.environ.get("LABSE_CACHE"):
        return Path(folder) / name
    parent = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(parent) / "labse" / name


def count_cpus() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_threads() -> int:
    """Returns the threads that OpenMP would take: `OMP_NUM_THREADS`, else the processors."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdigit() and int(stated) else count_cpus()
