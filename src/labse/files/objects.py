"""Objects of a store, such as S3: an address stands wherever a file can.

Takes: `s3://bucket/key`, `gs://`, `file://` or `memory://`, in any place where a path is given.
Gives: a copy on this machine of what is read; what is written goes up when it is whole.
Source: the documentation of fsspec, which talks to the stores; docs/cluster.md, "In a bucket".

A store has no rename and no lock, and an object may be replaced while it is used. So what was seen
of an object first, its pin, holds for the whole command and all its tasks; and what a task writes
has a name of its own attempt, which only the mark of the finished task tells.
"""

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias

from labse.errors import LabseError, ResourceError, UsageError
from labse.files.object_store import (
    find_url,
    list_identities,
    look,
    open_store,
    tell_identity,
    told,
    upload,
)
from labse.files.scratch import keep_temporary_folder

__all__ = [
    "Pin",
    "Pins",
    "check_object_free",
    "check_object_writable",
    "find_missing",
    "find_pins",
    "identify",
    "iter_texts",
    "keep_pins",
    "list_objects",
    "list_parts",
    "local_file",
    "remove_strays",
    "within_task",
    "write_object",
]

_MANIFEST = "manifest.json"
_PATTERN = re.compile(r"[*?]")
_MAX_COPIES = 8  # Of objects, on this disk: the last that were used.


@dataclass(frozen=True, slots=True)
class Pin:
    """What an address stands for during a command.

    Attributes:
        url: of the object that has the content: the address itself, or the name of an attempt.
        identity: of the content, as the store tells it.
        sha256: of what was written; empty for what was only read.
    """

    url: str
    identity: str
    sha256: str = ""


Pins: TypeAlias = Mapping[str, Mapping[str, str]]
"""Pins by address, as JSON."""

_PINS: dict[str, Pin] = {}
_COPIES: dict[tuple[str, str], Path] = {}
_NUMBERS = itertools.count()


@dataclass(slots=True)
class _Attempt:
    """A task that runs: the mark of its names, and what it wrote."""

    name: str
    written: dict[str, Pin]


_ATTEMPTS: list[_Attempt] = []  # Of this process, which has one task at a time.


# ---- reading ---------------------------------------------------------------------------------


def local_file(path: str | Path) -> Path:
    """Returns a file with the content: the path itself, or the copy of an object.

    The copy lies in the place for temporary files (TMPDIR); open it at once, since only the last
    few copies stay.

    Raises:
        LabseError: there is no such object, or it is not the one that this command saw first.
        ResourceError: the store does not answer or gives no access, or there is no room here.
    """
    url = find_url(path)
    if url is None:
        return Path(path)
    if url not in _PINS:
        identify(url)
    pin = _PINS[url]
    if (copy := _COPIES.pop((pin.url, pin.identity), None)) is not None:
        _keep_copy(pin, copy)
        return copy
    with told(url):
        system, key = open_store(pin.url)
        info = look(url, system, key)
        _check_same(url, pin, info)
        copy = _new_file(key)
        if info["size"] > shutil.disk_usage(copy.parent).free:
            raise ResourceError(
                f"{url}: its copy takes {info['size']:,} bytes, more than are free in "
                f"{copy.parent}; set TMPDIR to a place on a larger disk"
            )
        system.get_file(key, str(copy))
        _check_same(url, pin, look(url, system, key))  # It may have changed meanwhile.
    if pin.sha256 and pin.sha256 != _hash(copy):
        raise LabseError(f"{url}: is not what was written; run the command that makes it again")
    _PINS[url] = pin
    _keep_copy(pin, copy)
    return copy


def identify(path: str | Path) -> str:
    """Returns what names the content of an object now, as its store tells it, and pins it.

    Raises:
        LabseError, ResourceError: see `local_file`.
    """
    url = find_url(path) or str(path)
    pin = _PINS.get(url, Pin(url, ""))
    with told(url):
        identity = tell_identity(look(url, *open_store(pin.url)))
    _PINS[url] = replace(pin, identity=identity)
    return identity


def list_objects(path: str | Path) -> list[str]:
    """Returns the addresses that one stands for: itself, those of a pattern, those of a folder.

    Args:
        path: an address; `*` stands for any characters of a name. A folder is one that labse has
            written, whose manifest tells its parts, or it has `part-*.parquet`.

    Raises:
        LabseError: there is none.
        ResourceError: see `local_file`.
    """
    url = find_url(path) or str(path)
    with told(url):
        system, key = open_store(url)
        if _PATTERN.search(key):
            found = sorted(system.glob(key))
        elif system.isdir(key) and not system.isfile(key):
            if parts := _read_parts(url.rstrip("/"), system, key.rstrip("/")):
                return parts
            found = sorted(system.glob(f"{key.rstrip('/')}/part-*.parquet"))
            if not found:
                raise LabseError(
                    f"{url}: of a folder the objects named part-*.parquet are read, and it has "
                    f"none; give a pattern, such as {url.rstrip('/')}/*.parquet"
                )
        else:
            identify(url)
            return [url]
    if not found:
        raise LabseError(f"{url}: no object has such a name; give objects, or a pattern of names")
    scheme = url.partition("://")[0]
    return [f"{scheme}://{name.lstrip('/') if scheme != 'file' else name}" for name in found]


def _read_parts(url: str, system: Any, key: str) -> list[str]:  # noqa: ANN401
    """Returns the rows that were kept in a folder of ours, whose manifest names the objects."""
    try:
        parts = json.loads(system.cat_file(f"{key}/{_MANIFEST}")).get("parts", {})
        kept = {n: f"{url}/{parts[n]['object']}" for n in sorted(parts) if n.startswith("kept/")}
        hashes = {name: str(parts[name]["sha256"]) for name in kept}
    except FileNotFoundError:
        return []
    except (ValueError, AttributeError, KeyError, TypeError):
        raise LabseError(f"{url}/{_MANIFEST}: damaged; run the command that makes it") from None
    for name, target in kept.items():
        _PINS[f"{url}/{name}"] = Pin(target, "", hashes[name])
        identify(f"{url}/{name}")
    return [f"{url}/{name}" for name in kept]


def list_parts(url: str, pins: Pins) -> dict[str, dict[str, str]]:
    """Returns the objects below an address as its manifest names them: relative to it."""
    start = len(url) + 1
    return {
        name[start:]: {"object": pin["url"][start:], "sha256": pin["sha256"]}
        for name, pin in sorted(pins.items())
    }


# ---- writing ---------------------------------------------------------------------------------


@contextlib.contextmanager
def write_object(url: str) -> Iterator[IO[bytes]]:
    """Opens a file of this machine that becomes the object when the block ends well.

    In a task the object has the name of the attempt; see `within_task`.

    Raises:
        ResourceError: it cannot be written.
    """
    target = url
    if _ATTEMPTS:
        path = PurePosixPath(url.partition("://")[2])
        target = f"{url[: -len(path.name)]}{path.stem}.{_ATTEMPTS[-1].name}{path.suffix}"
    copy = _new_file(url)
    with copy.open("w+b") as stream:
        yield stream
    sha256 = _hash(copy)
    with told(url, writing=True):
        system, key = open_store(target)
        upload(system, copy, key)
        pin = Pin(target, tell_identity(look(target, system, key)), sha256)
    _PINS[url] = pin
    _keep_copy(pin, copy)
    for attempt in _ATTEMPTS[-1:]:
        attempt.written[url] = pin


def check_object_writable(url: str) -> None:
    """Tells before the work that nothing can be written there, by writing an empty object.

    Raises:
        ResourceError: there is no such bucket, or it gives no access.
        UsageError: it is a folder.
    """
    with told(url, writing=True):
        system, key = open_store(url)
        if system.isdir(key):
            raise UsageError(f"{url}: is a folder of objects; give the name of an object")
        probe = f"{key}.{secrets.token_hex(4)}.labse-check"
        system.pipe_file(probe, b"")
        with contextlib.suppress(Exception):  # Some may write and not delete.
            system.rm_file(probe)


# ---- tasks -----------------------------------------------------------------------------------


def find_pins(values: Iterable[object]) -> dict[str, dict[str, str]]:
    """Returns the pins of all addresses among the values and lists of values, as JSON."""
    urls = {find_url(text) for text in iter_texts(values)}
    return {url: asdict(_PINS[url]) for url in urls if url in _PINS}


def iter_texts(values: Iterable[object]) -> Iterator[str]:
    """Yields the texts among the values and lists of values of a task, which may be addresses."""
    for value in values:
        items = value if isinstance(value, list | tuple) else (value,)
        yield from (item for item in items if isinstance(item, str))


def find_missing(pins: Pins) -> set[str]:
    """Returns the addresses of which the store no longer has what was pinned.

    Raises:
        ResourceError: see `local_file`.
    """
    folders: dict[str, dict[str, str]] = {}
    missing = set()
    for url, pin in pins.items():
        with told(url):
            system, key = open_store(pin["url"])
            folder = os.path.dirname(key)
            if folder not in folders:
                folders[folder] = list_identities(system, folder)
        if folders[folder].get(key.lstrip("/")) != pin["identity"]:
            missing.add(url)
    return missing


def keep_pins(pins: Pins) -> None:
    """Takes the pins of another process or of an earlier call."""
    _PINS.update({url: Pin(**pin) for url, pin in pins.items()})


@contextlib.contextmanager
def within_task(run: str, pins: Pins) -> Iterator[dict[str, dict[str, str]]]:
    """Marks a block as a task: what it writes gets names of their own, and its copies go.

    Args:
        run: what names of this command have in them, so that strays can be told.
        pins: of what it reads.

    Yields:
        The pins of what it wrote, at the end of the block.
    """
    keep_pins(pins)
    attempt, before = _Attempt(f"{run}-{secrets.token_hex(4)}", {}), set(_COPIES)
    _ATTEMPTS.append(attempt)
    written: dict[str, dict[str, str]] = {}
    try:
        yield written
        written |= {url: asdict(pin) for url, pin in attempt.written.items()}
    finally:
        _ATTEMPTS.remove(attempt)
        for name in set(_COPIES) - before:
            _drop_copy(name)


def remove_strays(url: str, run: str, kept: Iterable[str]) -> None:
    """Deletes what attempts of a command wrote below an address and no mark names.

    Raises:
        ResourceError: the store does not answer.
    """
    with told(url, writing=True):
        system, key = open_store(url)
        names = {open_store(name)[1] for name in kept}
        for name in system.find(key):
            if name not in names and re.search(rf"\.{run}-[0-9a-f]{{8}}\.\w+$", name):
                system.rm_file(name)


def check_object_free(url: str) -> None:
    """Refuses a folder in which there are objects already.

    Raises:
        UsageError: there are.
        ResourceError: the store does not answer, or there is no such bucket.
    """
    with told(url, writing=True):
        system, key = open_store(url)
        if found := system.find(key):
            raise UsageError(
                f"{url}: holds other objects ({found[0]}); give another place, or the --work with "
                "which this one was begun"
            )


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@cache
def _scratch(_: int) -> Path:
    return keep_temporary_folder("labse-objects")


def _new_file(key: str) -> Path:
    """Returns the path of a copy to be, in a folder of its own: readers look at the suffix.

    A key may have 1,024 bytes, where a file name has 255.
    """
    folder = _scratch(os.getpid()) / f"{next(_NUMBERS):06}"
    folder.mkdir()
    return folder / PurePosixPath(key).name[-60:]


def _check_same(url: str, pin: Pin, info: Mapping[str, Any]) -> None:
    if tell_identity(info) != pin.identity:
        _PINS.pop(url, None)  # Who begins again sees what is there then.
        raise LabseError(
            f"{url}: was replaced while it was used (it had {pin.identity}, now "
            f"{tell_identity(info)}); begin again when nobody writes there"
        )


def _keep_copy(pin: Pin, copy: Path) -> None:
    _COPIES[pin.url, pin.identity] = copy
    if len(_COPIES) > _MAX_COPIES:
        _drop_copy(next(iter(_COPIES)))


def _drop_copy(name: tuple[str, str]) -> None:
    """Deletes a copy; whoever has it open reads on."""
    if copy := _COPIES.pop(name, None):
        shutil.rmtree(copy.parent, ignore_errors=True)
