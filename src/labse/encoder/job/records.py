"""What a folder of vectors remembers of itself: how they are made, and the shards that are whole.

Takes: a folder, settings. Gives: the shards of an earlier call; at the end `manifest.json`.
Source: docs/design.md, promises.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

import labse
from labse.encoder.job.shard import Shard
from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, listed_file, read_json
from labse.files.stage import Result, Stage, open_stage

__all__ = ["KIND", "FolderRecord", "Settings", "open_record", "read_shards"]

KIND = "embeddings"
_COUNTS = ("num_rows", "num_encoded", "num_long", "num_empty", "num_unknown")

Settings: TypeAlias = Mapping[str, object]


class FolderRecord:
    """The shards of a folder that are whole.

    Attributes:
        folder: where they lie.
        shards: by their number.
        num_rows: of all of them.
        num_encoded: sentences computed for those that this call added.
    """

    def __init__(self, stage: Stage, settings: Settings, shards: Sequence[Shard]) -> None:
        """Goes on from `shards`."""
        self.folder = stage.folder
        self.shards = {shard.number: shard for shard in shards}
        self.num_rows = sum(shard.num_rows for shard in shards)
        self.num_encoded = 0
        self._stage = stage
        self._settings = settings

    @property
    def work(self) -> Path:
        """A folder for what is in between, which goes when the shards are whole."""
        return self._stage.work

    def add(self, shard: Shard) -> None:
        """Writes down a shard whose files are on the disk.

        Raises:
            ResourceError: it cannot be written.
        """
        self._stage.add(str(shard.number), asdict(shard))
        self.shards[shard.number] = shard
        self.num_rows += shard.num_rows
        self.num_encoded += shard.num_encoded

    def finish(self, num_shards: int, inputs: Sequence[Mapping[str, object]]) -> list[Shard]:
        """Writes the manifest and returns all shards in order.

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
        counts = {name: sum(getattr(shard, name) for shard in shards) for name in _COUNTS}
        rows: list[Result] = []
        first_row = 0
        for shard in shards:
            rows.append({"first_row": first_row, **asdict(shard)})
            first_row += shard.num_rows
        self._stage.finish(
            {
                "kind": KIND,
                "labse_version": labse.__version__,
                "settings": dict(self._settings),
                **counts,
                "num_duplicates": counts["num_rows"] - counts["num_encoded"],
                "inputs": list(inputs),
                "shards": rows,
            }
        )
        return shards


@contextmanager
def open_record(folder: Path, settings: Settings) -> Iterator[FolderRecord]:
    """Holds a folder for the block, and goes on with the shards of the same settings in it.

    Raises:
        UsageError, LabseError, ResourceError: see `open_stage`.
    """
    with open_stage(folder, settings, section="settings", read_results=_manifest_rows) as stage:
        shards = [_parse_shard(row, folder) for row in stage.results.values()]
        there = [
            shard for shard in shards if all((folder / name).is_file() for name in shard.files)
        ]
        yield FolderRecord(stage, settings, there)


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
    return settings, [_parse_shard(row, folder) for row in rows]


def _manifest_rows(manifest: Mapping[str, object]) -> dict[str, Result]:
    rows = manifest.get("shards")
    return {str(number): row for number, row in enumerate(rows if isinstance(rows, list) else [])}


def _parse_shard(row: object, folder: Path) -> Shard:
    try:
        values = dict(row)  # type: ignore[call-overload]
        values.pop("first_row", None)
        shard = Shard(**values)
        for name in dict(shard.files):
            listed_file(folder, name)
        return shard
    except (TypeError, ValueError):
        where = folder / MANIFEST_NAME
        raise LabseError(f"{where}: not the record of a shard: {str(row)[:200]}") from None
