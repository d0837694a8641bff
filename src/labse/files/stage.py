"""Resumable work: a folder that knows what it is made of and which parts of it are done.

Takes: a folder, and the key: all that decides its content. Gives: a `Stage`, which tells what an
earlier call with the same key has done.
Source: docs/design.md, promises.

`progress.jsonl` is the journal: the key, then a line for each part that is done. It is written
before anything else, so a folder without it holds nothing of ours, whenever a kill came. When the
work is finished, `manifest.json` takes its place.

    with open_stage(folder, {"text": sha256_file(path), "k": 4}) as stage:
        if stage.manifest is None:
            for name, make in parts:
                if stage.result(name) is None:
                    stage.add(name, make(stage.folder / name))
            stage.finish({"kind": "parts"})
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TypeVar

from labse.errors import InterruptedRunError, LabseError, ResourceError, UsageError
from labse.files.atomic import (
    MANIFEST_NAME,
    claim_folder,
    files_in,
    listed_file,
    make_folder,
    read_json,
    sha256_file,
    write_atomic,
    write_json,
)
from labse.files.scratch import find_final_name, temporary_folder
from labse.files.text import read_lines

__all__ = [
    "HASHES",
    "JOURNAL_NAME",
    "Result",
    "Stage",
    "find_differences",
    "hash_content",
    "make_once",
    "open_stage",
    "without_remains",
]

JOURNAL_NAME = "progress.jsonl"
HASHES = "files_sha256"
"""Where a result has the hashes of the files of a part."""

_LOGGER = logging.getLogger(__name__)

Result = Mapping[str, object]
"""What a part tells of itself, as JSON."""

LoadedT = TypeVar("LoadedT")

_MAX_SHOWN = 40
_CHECK = "check"


class Stage:
    """The work in a folder that this process holds.

    Attributes:
        folder: where the parts lie.
        manifest: of finished work; None while there is something to do.
    """

    def __init__(
        self,
        folder: Path,
        found: "_Found",
        section: str | None,
        check_held: Callable[[], None] = lambda: None,
    ) -> None:
        self.folder = folder
        self.manifest = found.manifest
        self._key = found.key or {}
        self._results = dict(found.results)
        self._unchecked = set(self._results)
        self._section = section
        self._check_held = check_held
        self._stream: IO[bytes] | None = None

    def begin(self) -> IO[bytes]:
        """Writes the journal so far, without what a kill cut short, and opens it for more."""
        path = self.folder / JOURNAL_NAME
        with write_atomic(path) as stream:
            stream.write(_line({"key": self._key}))
            for name, (inputs, result) in self._results.items():
                stream.write(_line({"done": name, "inputs": inputs, "result": result}))
        self._stream = path.open("ab")
        return self._stream

    @property
    def work(self) -> Path:
        """A folder for what is in between, which `finish` removes."""
        make_folder(self.folder / ".work")
        return self.folder / ".work"

    @property
    def results(self) -> dict[str, Result]:
        """What each part tells that is done, by its name."""
        return {name: result for name, (_, result) in self._results.items()}

    def result(self, name: str, inputs: str = "") -> Result | None:
        """Returns what a part told that was done with the same inputs; None if there is none.

        Nor is there one if a file of the part is not what was written: the part is done again.
        """
        of, result = self._results.get(name, ("", None))
        if result is None or of != inputs:
            return None
        if name in self._unchecked:
            self._unchecked.remove(name)
            hashes = result.get(HASHES)
            for path, sha256 in hashes.items() if isinstance(hashes, dict) else ():
                file = listed_file(self.folder, path)
                if not file.is_file() or sha256_file(file) != sha256:
                    self.tell_damaged(file)
                    del self._results[name]
                    return None
        return {key: value for key, value in result.items() if key != HASHES}

    @staticmethod
    def tell_damaged(path: str | Path) -> None:
        """Warns of a file of an earlier call that is not what that call wrote."""
        _LOGGER.warning("%s: is not what was written; it is made again", path)

    def add(
        self,
        name: str,
        result: Result,
        inputs: str = "",
        *,
        files: Mapping[Path, str] = MappingProxyType({}),
    ) -> None:
        """Writes down that a part is done, whose files are on the disk.

        Args:
            name: of the part; what is there of this name is replaced.
            result: to be returned by `result`.
            inputs: what the part depends on beside the key, such as a hash.
            files: of the part, in the folder, with their SHA-256: a later call does the part again
                if a file is not the same.

        Raises:
            ResourceError: it cannot be written.
        """
        hashes = {path.relative_to(self.folder).as_posix(): files[path] for path in files}
        result = {**result, HASHES: hashes} if hashes else result
        self._results[name] = (inputs, result)
        self._unchecked.discard(name)
        stream = self._stream or self.begin()
        try:
            stream.write(_line({"done": name, "inputs": inputs, "result": result}))
            stream.flush()
        except OSError as error:
            path = self.folder / JOURNAL_NAME
            raise ResourceError(f"{path}: cannot be written: {error.strerror}") from None

    def finish(
        self, manifest: Mapping[str, object], *, keep_journal: bool = False
    ) -> dict[str, object]:
        """Writes the manifest, and returns it; removes the journal and `work`.

        Args:
            manifest: of what was made; the key is added, unless it stands at the top level.
            keep_journal: for work that another call goes on with.

        Raises:
            ResourceError: it cannot be written, or is no more the folder that this process holds.
        """
        self._check_held()  # Else a manifest may tell of files that are elsewhere.
        _remove_temporary(self.folder)  # A worker that was killed left its own.
        self.manifest = dict(manifest)
        if self._section:
            self.manifest.setdefault(self._section, self._key)
        write_json(self.folder / MANIFEST_NAME, self.manifest)
        if not keep_journal:
            self.close()
            (self.folder / JOURNAL_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".work", ignore_errors=True)
        return self.manifest

    def close(self) -> None:
        """Closes the journal."""
        if self._stream:
            self._stream.close()
        self._stream = None


@contextmanager
def open_stage(
    folder: Path | None,
    key: Result | None,
    *,
    section: str | None = "key",
    read_results: Callable[[dict[str, object]], Mapping[str, Result]] | None = None,
    restart: bool = False,
) -> Iterator[Stage]:
    """Holds a folder of work for the block; what is there of the same key is gone on with.

    Args:
        folder: made if it is not there; None: a temporary one, removed at the end.
        key: all that decides the content, as JSON: hashes for files (`hash_content`), never their
            names or sizes alone. None: that of the folder, whatever it is.
        section: where the manifest of finished work tells the key: under this name, or None at its
            top level.
        read_results: tells the parts of finished work from its manifest, where more may follow.
        restart: whether work of another key is deleted and begun anew; else it is refused.

    Raises:
        UsageError: the folder holds something else, or work of another key (the parts that differ
            are named), or another process is at work there.
        LabseError: the journal is damaged, or there is no work and `key` is None.
        ResourceError: it cannot be written.
    """
    if folder is None:
        with temporary_folder() as temporary:
            stage = Stage(temporary, _Found(key, {}, None), section)
            try:
                yield stage
            finally:
                stage.close()
        return
    is_new = not folder.is_dir()
    make_folder(folder)
    with claim_folder(folder) as check_held, without_remains(folder, is_new):
        found = _read_journal(folder) or _read_manifest(folder, key, section, read_results)
        found = _take_over(folder, found, None if key is None else _as_json(key), restart)
        stage = Stage(folder, found, section, check_held)
        try:
            if stage.manifest is None:
                stage.begin()  # The birth: the key stands there before anything else.
            yield stage
        finally:
            stage.close()


@contextmanager
def without_remains(folder: Path, is_new: bool) -> Iterator[None]:
    """Removes a folder that was made for work of which nothing was done, such as a wrong input.

    Args:
        folder: held by this process (`claim_folder`).
        is_new: whether it was made for this call; else it stays.
    """
    try:
        yield
    except Exception as error:
        goes_on = isinstance(error, InterruptedRunError)
        if is_new and not goes_on and not _has_files(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


@dataclass(frozen=True, slots=True)
class _Found:
    """What stands in a folder; without a key it was about to be begun anew."""

    key: Result | None
    results: dict[str, tuple[str, Result]]
    manifest: dict[str, object] | None


def _take_over(folder: Path, found: _Found | None, key: Result | None, restart: bool) -> _Found:
    """Returns what of the folder counts, or says why it may not be touched."""
    if found is None and (others := _own_names(folder)):
        raise UsageError(f"{folder}: holds other files ({others[0]}); give a new or empty folder")
    if key is None and (found is None or found.key is None):
        raise LabseError(f"{folder}: no work is begun here")

    # A part may lie elsewhere, such as the rows of an index.
    is_begun = found is not None and (bool(found.results) or _has_files(folder))
    restart = restart or not is_begun
    if found and key not in (None, found.key) and not restart:
        differing = " and ".join(map(_tell_difference, find_differences(found.key, key)))
        raise UsageError(
            f"{folder}: was begun with another {differing}; give another folder, or delete this "
            "one to start anew"
        )

    # From here on the folder is ours, and nobody else is at work in it.
    _remove_temporary(folder)
    if found and key in (None, found.key):
        if found.manifest:
            shutil.rmtree(folder / ".work", ignore_errors=True)
        return found
    if found:
        _clear(folder)
    return _Found(key, {}, None)


def _clear(folder: Path) -> None:
    """Deletes what was made of another key; a kill meanwhile leaves a journal without a key."""
    with write_atomic(folder / JOURNAL_NAME) as stream:
        stream.write(_line({"key": None}))
    for path in sorted(folder.iterdir()):
        if path.name not in (JOURNAL_NAME, ".lock"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _read_journal(folder: Path) -> _Found | None:
    path = folder / JOURNAL_NAME
    if not path.is_file():
        return None
    rows = []
    for line in read_lines(path):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):  # The last one, cut short by a kill.
            break
    try:
        if not all(map(_is_as_written, rows)):
            raise ValueError("changed")
        # Items are read of a key and of what a part tells, so both must have some.
        results: dict[str, tuple[str, Result]] = {
            row["done"]: (row["inputs"], dict(row["result"])) for row in rows[1:]
        }
        key = rows[0]["key"]
        return _Found(None if key is None else dict(key), results, None)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise LabseError(f"{path}: damaged; delete the folder and start again") from None


def _read_manifest(
    folder: Path,
    key: Result | None,
    section: str | None,
    read_results: Callable[[dict[str, object]], Mapping[str, Result]] | None,
) -> _Found | None:
    """Returns what finished work tells; None if there is none."""
    try:
        manifest = read_json(folder / MANIFEST_NAME)
    except ResourceError:
        raise
    except LabseError:  # Not there, or damaged.
        return None
    found = manifest.get(section) if section is not None else None
    if section is None and key is not None and key.keys() <= manifest.keys():
        found = {name: manifest[name] for name in key}
    if not isinstance(found, dict):
        return None
    results = read_results(manifest) if read_results else {}
    return _Found(found, {name: ("", result) for name, result in results.items()}, manifest)


def _has_files(folder: Path) -> bool:
    """Says whether something is done: a first call that stopped at its input holds no folder."""
    return any(
        path.name not in (JOURNAL_NAME, ".lock") and not find_final_name(path.name)
        for path in files_in(folder)
    )


def _own_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def _remove_temporary(folder: Path) -> None:
    """Deletes the files that killed processes were writing; nobody else is at work here."""
    for root, folders, files in os.walk(folder):
        for name in filter(find_final_name, folders):
            shutil.rmtree(Path(root, name), ignore_errors=True)
        for name in filter(find_final_name, files):
            Path(root, name).unlink(missing_ok=True)


def find_differences(
    before: object, now: object, name: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Yields the values of two JSON objects that differ: the name, as `train.lr`, and both."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}".removeprefix(".")
            yield from find_differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now


def _tell_difference(difference: tuple[str, object, object]) -> str:
    name, before, now = difference
    name = name.removeprefix("inputs.")  # The name of a file says enough.
    shown = f"{json.dumps(before)}, now {json.dumps(now)}"
    return f"{name} ({shown})" if len(shown) <= _MAX_SHOWN else name


def hash_content(path: str | Path) -> str:
    """Returns what identifies the content of a file, or of a folder with its manifest.

    Raises:
        LabseError: it cannot be read.
    """
    path = Path(path)
    return sha256_file(path / MANIFEST_NAME if path.is_dir() else path)


def make_once(
    cache: Path,
    key: Result,
    make: Callable[[Stage], Result],
    load: Callable[[dict[str, object]], LoadedT],
    *,
    is_main: bool = True,
) -> tuple[LoadedT, bool]:
    """Makes what a folder holds, or loads what an earlier call has left there for the same key.

    Args:
        cache: a folder for this alone; what is there of another key is deleted.
        key: see `open_stage`.
        make: makes the content and returns its manifest.
        load: loads the content by that manifest; content that it cannot load is made anew.
        is_main: of several processes, whether this one makes it; the others find it made.

    Returns:
        What `load` returns, and whether it was there before.

    Raises:
        LabseError: this is another process, which sees other files than the main one did.
        UsageError, ResourceError: see `open_stage`.
    """
    if (manifest := _find_manifest(cache, key)) is not None:
        if is_main:  # A kill between the manifest and the end of `finish` leaves it.
            shutil.rmtree(cache / ".work", ignore_errors=True)
        with suppress(LabseError, OSError, KeyError, TypeError, ValueError):  # Damaged.
            return load(manifest), True
    if not is_main:
        raise LabseError(
            f"{cache} was made by the first process of other data or by another version of labse; "
            f"process {os.environ.get('RANK')} must see the same files"
        )
    with open_stage(cache, key, restart=True) as stage:
        manifest = stage.finish(make(stage), keep_journal=True)
    return load(manifest), False


def _find_manifest(cache: Path, key: Result) -> dict[str, object] | None:
    found = _read_manifest(cache, key, "key", None)
    return found.manifest if found and found.key == _as_json(key) else None


def _as_json(value: Result) -> dict[str, object]:
    """Returns the value as it is read back: tuples become lists."""
    read: dict[str, object] = json.loads(json.dumps(value))
    return read


def _line(row: Result) -> bytes:
    """Returns a line of the journal, with a hash of itself."""
    row = {**row, _CHECK: _hash_row(row)}
    return json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _is_as_written(row: dict[str, object]) -> bool:
    """Tells a row that was changed; those of earlier versions have no hash."""
    check = row.pop(_CHECK, None)
    return check is None or check == _hash_row(row)


def _hash_row(row: Result) -> str:
    return hashlib.sha256(json.dumps(row).encode()).hexdigest()[:16]
