"""Whole files and folders or none; one process a folder; hashes and JSON.

Takes: paths. Gives: files and folders that appear under their name only when they are whole.
Source: docs/design.md, promises.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import IO

from safetensors import SafetensorError

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.object_store import find_url, refuse_unknown_url
from labse.files.objects import check_object_writable, write_object
from labse.files.scratch import (
    cannot_write,
    find_final_name,
    remove_leftovers,
    scratch_folder,
    temporary_name,
)
from labse.files.system import open_unfollowed, sync, try_lock
from labse.files.text import open_binary, read_whole

__all__ = [
    "MANIFEST_NAME",
    "check_replaceable",
    "check_space",
    "check_writable",
    "claim_folder",
    "files_in",
    "listed_file",
    "make_folder",
    "read_json",
    "refuse_url",
    "replace_folder",
    "sha256_file",
    "write_atomic",
    "write_json",
]

MANIFEST_NAME = "manifest.json"

_LOGGER = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # The last: the size that the limits allow.
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's words; it tells no number.
_HELD: dict[Path, Callable[[], None]] = {}  # By the lock: says whether it is still held there.


@contextlib.contextmanager
def write_atomic(path: str | Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside `path` that takes its name when the block ends well.

    Its folder is made if it is not there. After an error or a kill nothing stands under `path` but
    what stood there before; what a kill left beside it goes when the same file is written again. A
    link stays one: the file that it points to is replaced. An object of a store appears when it is
    whole.

    Raises:
        ResourceError: `path` is or lies in something that cannot be written, or the disk is full.
        UsageError: `path` names no file, or a device or pipe, which a file would replace.
    """
    if url := find_url(path):
        with write_object(url) as stream:
            yield stream
        return
    target, temporary = _choose_places(path)
    make_folder(target.parent)
    if target.name in _list_unfinished(target.parent):
        remove_leftovers(target)
    try:
        with temporary.open("wb") as stream:
            try_lock(stream.fileno())
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except OSError as error:
        is_own = error.filename is not None and str(error.filename) == str(temporary)
        is_full = error.filename is None and (
            error.errno in _FULL or _SHORT_WRITE.search(str(error)) is not None
        )
        if is_own or is_full:  # Another file may fail inside the block; that is not ours to tell.
            raise cannot_write(path, error) from None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: str | Path, *, inputs: Iterable[str | Path | None] = ()) -> None:
    """Raises what `write_atomic` would raise, before the hours of work that make the content.

    Args:
        path: the file to write.
        inputs: files that are read for it, or written beside it, and that it may not replace.

    Raises:
        ResourceError, UsageError: see `write_atomic`; or `path` is one of `inputs`.
    """
    url = find_url(path)
    target, temporary = (Path(path),) * 2 if url else _choose_places(path)
    for other in inputs:
        is_same = other is not None and (
            find_url(other) == url if url else Path(os.path.realpath(other)) == target
        )
        if is_same:
            raise UsageError(f"{path} is {other}, which it would replace; name another file")
    if url:
        check_object_writable(url)
        return
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.parent.is_dir():
            temporary.touch()
            temporary.unlink()
            return
        above = next(folder for folder in target.parents if os.path.lexists(folder))
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(above, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(path, error) from None


def check_space(path: str | Path, num_bytes: int) -> None:
    """Tells before the work that what is to be written is larger than the disk's free space.

    The size is an estimate: only twice what is free is an error, less is a warning.

    Args:
        path: what is to be written, or its folder.
        num_bytes: estimated size.

    Raises:
        ResourceError: there is not half the space.
    """
    path = tempfile.gettempdir() if find_url(path) else path  # There an object is made.
    above = next(
        folder for folder in (Path(path), *Path(path).absolute().parents) if folder.is_dir()
    )
    free = shutil.disk_usage(above).free
    if num_bytes <= free:
        return
    sizes = _show_bytes(num_bytes), _show_bytes(free)
    message = f"{path}: about {sizes[0]} are to be written, and {sizes[1]} are free"
    if num_bytes > 2 * free:
        raise ResourceError(f"{message}; make room, or give a place on another disk")
    _LOGGER.warning(message)


def _show_bytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:,.1f} MB"


def _choose_places(path: str | Path) -> tuple[Path, Path]:
    """Returns the file to make, behind all links, and the temporary one beside it."""
    if str(path) in ("-", "", "."):
        raise UsageError(f"{str(path)!r} names no file to write; give the name of one")
    # Those of os.path raise nothing, whatever the name; opening the file then tells what is wrong.
    target = Path(os.path.realpath(path))
    refuse_unknown_url(target.parent)
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise UsageError(f"{path}: is a device or pipe, not a file; give the name of a file")
    return target, temporary_name(target)


@contextlib.contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Gives a temporary folder that takes the place of `target` when the block ends well.

    Whenever the process is killed, the older folder or the new one is whole: under its own name,
    or aside, from where the next call brings it back.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    refuse_url(target)
    try:
        with scratch_folder(target) as temporary:
            yield temporary
            for file in files_in(temporary):
                # safetensors 0.8 writes for the owner alone; the folder's mode follows the umask.
                file.chmod(temporary.stat().st_mode & 0o666)
                sync(file)
            _move_into_place(temporary, target)
            sync(target.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ResourceError(f"{target}: cannot be written: {reason}") from None


def _move_into_place(temporary: Path, target: Path) -> None:
    """Renames; a folder that stood there is put aside first, and back if that fails."""
    if not target.exists():
        temporary.replace(target)
        return
    aside = temporary_name(target, "old")
    target.replace(aside)
    try:
        temporary.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


@lru_cache(maxsize=1024)
def _list_unfinished(folder: Path) -> frozenset[str]:
    """Returns of which files temporary ones stood in a folder when this process first wrote there.

    A folder may hold a file for each of 10^5 documents: it is listed once, not for each of them.
    """
    with contextlib.suppress(OSError):
        return frozenset(filter(None, map(find_final_name, os.listdir(folder))))
    return frozenset()


def check_replaceable(
    target: Path,
    kind: str,
    is_ours: Callable[[Mapping[str, object]], bool],
    *,
    error_type: type[LabseError] = UsageError,
) -> bool:
    """Says whether something stands where a folder is to be made; it must be of the same kind.

    Args:
        target: what `replace_folder` is about to replace.
        kind: for messages, such as "vocabulary".
        is_ours: tells by the manifest whether a folder is of this kind.
        error_type: type of the errors.

    Raises:
        LabseError: `target` is a file, or holds something that its manifest does not list as a
            file of this kind of folder.
    """
    refuse_url(target)
    remove_leftovers(target)
    if target.exists() and not target.is_dir():
        raise error_type(f"{target}: is a file; give another folder")
    found = {str(file.relative_to(target)) for file in files_in(target)}
    if not found:
        return False
    manifest = read_json(target / MANIFEST_NAME) if MANIFEST_NAME in found else {}
    files = manifest.get("files")
    if not isinstance(files, dict) or not is_ours(manifest):
        raise error_type(f"{target}: is not empty and not a {kind} folder; give another folder")
    if others := sorted(found - {*files, MANIFEST_NAME}):
        raise error_type(
            f"{target}: holds {others[0]!r} beside the {kind}, which replacing it would delete; "
            "move it or give another folder"
        )
    return True


@contextlib.contextmanager
def claim_folder(
    folder: Path, *, hint: str = "wait for it, or give another --out"
) -> Iterator[Callable[[], None]]:
    """Holds `folder/.lock` for the block; the kernel lets go of it when the process dies.

    Gives a function that raises a ResourceError if the folder is no more the one that is held, as
    when its file system was unmounted; it is called at the end of the block too.

    Args:
        folder: the folder.
        hint: what to do when another process holds it.

    Raises:
        ResourceError: the lock cannot be made, something else has its name, or the folder was lost.
        UsageError: another process holds it; the message names it and its host.
    """
    refuse_url(folder)
    path = folder / ".lock"
    try:
        descriptor = open_unfollowed(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ResourceError(f"{path}: is a link and not a lock; remove it") from None
        raise cannot_write(path, error) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ResourceError(f"{path}: is not a file; remove it")
        is_held = try_lock(descriptor)
        if is_held is False:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            raise UsageError(
                f"{folder}: another process{holder and f' ({holder})'} is at work there; {hint}"
            )
        if is_held is None:
            _LOGGER.warning(
                "%s: this file system has no locks; see to it that no other process works there",
                folder,
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode())
        check = partial(_check_held, path, descriptor)
        with _registered(path.absolute(), check):
            yield check
        check()
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _registered(lock: Path, check: Callable[[], None]) -> Iterator[None]:
    _HELD[lock] = check
    try:
        yield
    finally:
        del _HELD[lock]


def _check_held(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(descriptor)):
            return
    raise ResourceError(
        f"{path.parent}: was removed or unmounted while work went on there; see to the disk, and "
        "run the same command again"
    )


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it.

    Raises:
        ResourceError: it cannot be made, nothing can be made in it, or it lies in a folder that
            this process holds and that was lost: its files would stand there alone.
    """
    refuse_url(folder)
    for place, check in list(_HELD.items()):
        if place.parent in (folder.absolute(), *folder.absolute().parents):
            check()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileExistsError:
        raise ResourceError(f"{folder}: is a file; give the name of a folder") from None
    except OSError as error:
        raise cannot_write(folder, error) from None


def refuse_url(folder: str | Path) -> None:
    """Refuses the address of an object store where work needs a folder of a disk.

    Raises:
        UsageError: it is one, or looks like one.
    """
    if url := find_url(folder):
        raise UsageError(
            f"{url}: this needs a folder on a disk, for it is changed in place; give one, and copy "
            "it to the object store when it is whole"
        )
    refuse_unknown_url(Path(folder))


def files_in(folder: Path) -> list[Path]:
    """Returns the files of a folder and its folders; none if there is no such folder."""
    return [path for path in folder.rglob("*") if not path.is_dir()]


def listed_file(folder: Path, name: object) -> Path:
    """Returns the path of a file that a manifest of the folder names.

    Raises:
        LabseError: the name is none, leads out of the folder, or is that of a device, pipe or
            folder: a manifest may come from a stranger.
    """
    where = f"{folder / MANIFEST_NAME}: {str(name)[:60]!a}"
    try:
        is_name = isinstance(name, str) and bool(name) and b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # A lone surrogate, which is in no name of a file.
        is_name = False
    if not isinstance(name, str) or not is_name:
        raise LabseError(f"{where} is not the name of a file; copy the folder again")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise LabseError(f"{where} leads out of the folder; nothing of it is read")
    path = folder / name
    if os.path.exists(path) and not os.path.isfile(path):
        raise LabseError(f"{where} is a device, pipe or folder, not a file; nothing of it is read")
    return path


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
    payload = read_whole(path)
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
