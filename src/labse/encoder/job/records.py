"""What a folder of vectors remembers of itself: settings, the shards that are whole, the manifest.

Takes: a folder, settings. Gives: the shards of an earlier start; at the end `manifest.json`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

import labse
from labse.encoder.job.shard import Shard
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, check_writable, read_json, write_atomic, write_json
from labse.files.text import read_lines

__all__ = ["KIND", "PROGRESS_NAME", "RunRecord", "Settings", "open_record", "read_shards"]

KIND = "embeddings"
PROGRESS_NAME = "progress.jsonl"
_COUNTS = ("num_rows", "num_encoded", "num_long", "num_empty")

Settings = Mapping[str, object]


class RunRecord:
    """The shards of a folder that are whole.

    Attributes:
        folder: where they lie.
        shards: by their number.
        new: the numbers of those added by this start.
        num_rows: of all of them.
    """

    def __init__(
        self, folder: Path, settings: Settings, shards: Sequence[Shard], *, is_whole: bool
    ) -> None:
        """Goes on from `shards`.

        While the manifest of a whole folder holds, nothing is written, so that a kill leaves it so.
        """
        self.folder = folder
        self.shards = {shard.number: shard for shard in shards}
        self.new: set[int] = set()
        self.num_rows = sum(shard.num_rows for shard in shards)
        self._settings = settings
        self._stream: IO[bytes] | None = None
        if is_whole:
            check_writable(folder / PROGRESS_NAME)
        else:
            self._begin()

    def add(self, shard: Shard) -> None:
        """Writes a line for a shard whose files are on the disk.

        Raises:
            ResourceError: it cannot be written.
        """
        stream = self._stream or self._begin()
        stream.write(_line(asdict(shard)))
        stream.flush()
        self.shards[shard.number] = shard
        self.new.add(shard.number)
        self.num_rows += shard.num_rows

    def finish(self, num_shards: int, inputs: Sequence[Mapping[str, object]]) -> list[Shard]:
        """Writes the manifest in place of the lines and returns all shards in order.

        Raises:
            LabseError: the input ended before the shards that are there.
            ResourceError: it cannot be written.
        """
        if extra := sorted(set(self.shards) - set(range(num_shards))):
            raise LabseError(
                f"{self.folder}: the input ended before its shard {extra[0]}; give the same input, "
                "or another --out"
            )
        shards = [self.shards[number] for number in range(num_shards)]
        first_rows = [0]
        for shard in shards:
            first_rows.append(first_rows[-1] + shard.num_rows)
        counts = {name: sum(getattr(shard, name) for shard in shards) for name in _COUNTS}
        manifest = {
            "kind": KIND,
            "labse_version": labse.__version__,
            "settings": dict(self._settings),
            **counts,
            "num_duplicates": counts["num_rows"] - counts["num_encoded"],
            "inputs": list(inputs),
            "shards": [
                {"first_row": first, **asdict(shard)}
                for first, shard in zip(first_rows, shards, strict=False)
            ],
        }
        write_json(self.folder / MANIFEST_NAME, manifest)
        self.close()
        (self.folder / PROGRESS_NAME).unlink(missing_ok=True)
        return shards

    def close(self) -> None:
        """Closes the file of lines."""
        if self._stream:
            self._stream.close()
        self._stream = None

    def _begin(self) -> IO[bytes]:
        """Writes the lines so far, and opens the file for those to come."""
        path = self.folder / PROGRESS_NAME
        check_writable(path)
        with write_atomic(path) as stream:
            for row in (self._settings, *map(asdict, self.shards.values())):
                stream.write(_line(row))
        self._stream = path.open("ab")
        return self._stream


@contextmanager
def open_record(folder: Path, settings: Settings, embedding_size: int) -> Iterator[RunRecord]:
    """Opens the record of a folder that this process holds; makes it if there is none.

    Raises:
        UsageError: the folder holds something else, or vectors of other settings.
        LabseError: its record is damaged.
        ResourceError: it cannot be written.
    """
    settings = {**settings, "embedding_size": embedding_size}
    before = _read(folder)
    shards: list[Shard] = []
    if before is None:
        if others := sorted(path.name for path in folder.iterdir() if path.name[0] != "."):
            raise UsageError(f"{folder}: holds {others[0]!r} and no vectors; give another --out")
    else:
        _check_same(folder, before[0], settings)
        shards = [shard for shard in before[1] if _is_there(folder, shard)]

    is_whole = (
        before is not None
        and not (folder / PROGRESS_NAME).is_file()
        and len(shards) == len(before[1])
    )
    record = RunRecord(folder, settings, shards, is_whole=is_whole)
    try:
        yield record
    finally:
        record.close()


def read_shards(folder: Path) -> tuple[dict[str, object], list[Shard]] | None:
    """Returns settings and shards of a manifest, None if there is no manifest of vectors.

    Raises:
        LabseError: the manifest is damaged.
    """
    path = folder / MANIFEST_NAME
    manifest = read_json(path) if path.is_file() else {}
    if manifest.get("kind") != KIND:
        return None
    settings, rows = manifest.get("settings"), manifest.get("shards")
    if not isinstance(settings, dict) or not isinstance(rows, list):
        raise LabseError(f"{path}: settings or shards are missing; write the folder again")
    return settings, [_parse_shard(row, path) for row in rows]


def _read(folder: Path) -> tuple[dict[str, object], list[Shard]] | None:
    path = folder / PROGRESS_NAME
    if not path.is_file():
        return read_shards(folder)
    rows = []
    for line in read_lines(path):
        try:
            rows.append(json.loads(line))
        except ValueError:  # The last one, cut short by a kill.
            break
    if not rows or not isinstance(rows[0], dict):
        raise LabseError(f"{path}: damaged; delete the folder and start again")
    return rows[0], [_parse_shard(row, path) for row in rows[1:]]


def _parse_shard(row: object, path: Path) -> Shard:
    try:
        values = dict(row)  # type: ignore[call-overload]
        values.pop("first_row", None)
        return Shard(**values)
    except (TypeError, ValueError):
        raise LabseError(f"{path}: not the record of a shard: {row!r}") from None


def _is_there(folder: Path, shard: Shard) -> bool:
    return all((folder / name).is_file() for name in shard.files)


def _check_same(folder: Path, before: Mapping[str, object], now: Settings) -> None:
    for key in sorted({*before, *now}):
        if before.get(key) != now.get(key):
            raise UsageError(
                f"{folder}: holds vectors made with {key} {before.get(key)}, not {now.get(key)}; "
                "give another --out, or the same model and options"
            )


def _line(row: Mapping[str, object]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
