"""Vectors on disk as one matrix: a `.npy` file or a folder of shards, mapped, not read.

Takes: a path. Gives: rows as float32, and the model that they come from; whether they are what was
    written, and what they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from labse.encoder.job.records import KIND, read_shards
from labse.encoder.job.shard import STORAGE_TYPES, Shard, Storage, StoredRows, load_rows, shard_path
from labse.encoder.pooling import find_non_unit_row
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.files.npy import load_array, release_map
from labse.files.stage import JOURNAL_NAME
from labse.model_folder.describe import FolderDescription, compare_file

__all__ = [
    "Embeddings",
    "VerifiedEmbeddings",
    "check_same_model",
    "describe_embeddings",
    "open_embeddings",
    "verify_embeddings",
]

_BLOCK_ROWS = 65_536
_NORM_TOLERANCE = 2e-3  # Rounding to float16 moves a norm by less.
_COUNTS = ("num_rows", "num_encoded", "num_duplicates", "num_empty", "num_long", "num_unknown")


class Embeddings:
    """N rows of D values, float32 whatever they are stored as.

    `embeddings[rows]` takes a number, a slice or an array of row numbers and gives a copy.

    Attributes:
        path: the file or folder.
        shape: (N, D).
        dtype: float32.
        storage: the type of the stored values.
        model_sha256: the model that made them; None for a `.npy` file, which does not say.
        settings: how they were made, as the manifest has it; empty for a `.npy` file.
        empty_rows: the numbers of rows that stand for empty lines; none are known of a `.npy` file.
        unknown_rows: likewise those of lines of [UNK] alone, whose vectors say nothing.
        long_rows: likewise those of lines over the model's length.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self,
        path: Path,
        parts: list[StoredRows],
        embedding_size: int,
        *,
        settings: Mapping[str, object],
        empty_rows: NDArray[np.int64],
        unknown_rows: NDArray[np.int64],
        long_rows: NDArray[np.int64],
    ) -> None:
        """Joins mapped parts; `open_embeddings` does so for a path."""
        self.path = path
        self.settings = settings
        self.empty_rows = empty_rows
        self.unknown_rows = unknown_rows
        self.long_rows = long_rows
        self._parts = parts
        self._ends = np.cumsum([len(part.values) for part in parts], dtype=np.int64)
        self.shape = (int(self._ends[-1]) if parts else 0, embedding_size)
        model = settings.get("model_sha256")
        self.model_sha256 = model if isinstance(model, str) else None
        self.storage = str(settings.get("storage") or parts[0].values.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | NDArray[np.integer]) -> NDArray[np.float32]:
        """Returns (D,) for a number, (R, D) for a slice or R numbers."""
        if isinstance(rows, slice):
            return self._take(np.arange(*rows.indices(len(self))))
        if isinstance(rows, int | np.integer):
            row: NDArray[np.float32] = self._take(np.array([rows]))[0]
            return row
        return self._take(np.asarray(rows))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Reads all rows."""
        if copy is False:
            raise ValueError("stored rows are read from disk: that is a copy")
        return self[:].astype(dtype or np.float32, copy=False)

    def iter_blocks(self, block_rows: int = _BLOCK_ROWS) -> Iterator[NDArray[np.float32]]:
        """Yields all rows in order, so many at a time."""
        for start in range(0, len(self), block_rows):
            yield self[start : start + block_rows]

    def release(self) -> None:
        """Lets go of what was read of the mapped files; it stays in the system's cache."""
        for part in self._parts:
            release_map(part.values)

    def _take(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        if rows.dtype == bool or rows.ndim != 1:
            raise IndexError("rows: give a number, a slice or a list of row numbers")
        rows = np.where(rows < 0, rows + len(self), rows).astype(np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"row {rows.max()} of {len(self)}")
        result = np.empty((len(rows), self.shape[1]), np.float32)
        places = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(places).tolist():
            part = self._parts[number]
            is_here = places == number
            inside = rows[is_here] - (self._ends[number] - len(part.values))
            is_run = len(inside) == int(inside[-1]) - int(inside[0]) + 1 and bool(
                (np.diff(inside) == 1).all()
            )
            whole = slice(int(inside[0]), int(inside[-1]) + 1)
            result[is_here] = part.take(whole if is_run else inside)
        return result


def open_embeddings(path: str | Path) -> Embeddings:
    """Opens a `.npy` file or a folder of `labse encode`.

    Raises:
        LabseError: it is missing, damaged, not whole yet, or no matrix of floats.
    """
    # One file: nothing is known of it but its rows.
    path = Path(path)
    if not path.is_dir():
        array = load_array(path)
        if array.ndim != 2 or array.dtype not in (np.float32, np.float16):
            raise LabseError(
                f"{path}: {array.ndim} dimensions of {array.dtype}; expected rows of float32 or "
                "float16"
            )
        rows = StoredRows(array, None)
        none = np.empty(0, np.int64)
        flags = {"empty_rows": none, "unknown_rows": none, "long_rows": none}
        return Embeddings(path, [rows], array.shape[1], settings={}, **flags)

    # A folder: map the shards that its manifest lists.
    settings, shards = _read_manifest(path)
    storage, embedding_size = _storage_of(settings, path)
    parts = []
    flagged = {flag: [np.empty(0, np.int64)] for flag in ("empty", "unknown", "long")}
    first_row = 0
    for shard in shards:
        part = load_rows(path, shard.number, storage)
        if part.values.shape != (shard.num_rows, embedding_size):
            raise LabseError(
                f"{shard_path(path, shard.number)}: shape {part.values.shape}, the manifest says "
                f"{(shard.num_rows, embedding_size)}; copy the folder again"
            )
        parts.append(part)
        for flag, numbers in flagged.items():
            if getattr(shard, f"num_{flag}"):
                rows_of_shard = _load_flags(shard_path(path, shard.number, flag), shard.num_rows)
                numbers.append(rows_of_shard + first_row)
        first_row += shard.num_rows
    return Embeddings(
        path,
        parts,
        embedding_size,
        settings=settings,
        empty_rows=np.concatenate(flagged["empty"]),
        unknown_rows=np.concatenate(flagged["unknown"]),
        long_rows=np.concatenate(flagged["long"]),
    )


def _load_flags(path: Path, num_rows: int) -> NDArray[np.int64]:
    """Loads the numbers of some of a shard's rows."""
    flags = load_array(path)
    if flags.ndim != 1 or flags.dtype != np.int64:
        raise LabseError(f"{path}: holds no numbers of rows; copy the folder again")
    if flags.size and not 0 <= flags.min() <= flags.max() < num_rows:
        raise LabseError(f"{path}: names a row that is not there; copy the folder again")
    return flags


def check_same_model(first: Embeddings, second: Embeddings) -> None:
    """Refuses to compare vectors of two models.

    Raises:
        UsageError: their widths differ, or both say their model and it is not the same.
    """
    if first.shape[1] != second.shape[1]:
        raise UsageError(
            f"{first.path} has vectors of {first.shape[1]} values, {second.path} of "
            f"{second.shape[1]}; encode both with one model"
        )
    hashes = first.model_sha256, second.model_sha256
    if None not in hashes and hashes[0] != hashes[1]:
        raise UsageError(
            f"{first.path} was made by another model than {second.path} ({str(hashes[0])[:12]}, "
            f"{str(hashes[1])[:12]}); encode both with one"
        )


@dataclass(frozen=True, slots=True)
class VerifiedEmbeddings:
    """What `verify_embeddings` found to be right."""

    path: Path
    num_shards: int
    num_files: int
    num_rows: int
    embedding_size: int
    storage: str
    model_sha256: str | None


def verify_embeddings(path: str | Path) -> VerifiedEmbeddings:
    """Checks a folder or `.npy` file: hashes, shapes, rows, finite values, length 1.

    Raises:
        LabseError: something is not as it was written; the message names the file, and the row.
    """
    embeddings = open_embeddings(path)
    num_files = num_shards = 1
    if Path(path).is_dir():
        _, shards = _read_manifest(Path(path))
        num_shards, num_files = len(shards), sum(len(shard.files) for shard in shards)
        for shard in shards:
            _check_files(Path(path), shard)
    first_row = 0
    for block in embeddings.iter_blocks(8192):
        if (row := find_non_unit_row(block, _NORM_TOLERANCE)) is not None:
            raise LabseError(
                f"{path}, row {first_row + row} (from 0): not a finite vector of length 1 but of "
                f"{np.linalg.norm(block[row]):.4g}; encode again"
            )
        first_row += len(block)
    return VerifiedEmbeddings(
        path=embeddings.path,
        num_shards=num_shards,
        num_files=num_files,
        num_rows=len(embeddings),
        embedding_size=embeddings.shape[1],
        storage=embeddings.storage,
        model_sha256=embeddings.model_sha256,
    )


def describe_embeddings(path: str | Path) -> FolderDescription | None:
    """Tells what a folder of vectors is and compares its files with the manifest.

    Returns:
        None if it holds no vectors, or none that are whole.

    Raises:
        LabseError: the manifest is damaged.
    """
    folder = Path(path)
    if not (folder / MANIFEST_NAME).is_file():
        return None
    manifest = read_json(folder / MANIFEST_NAME)
    if manifest.get("kind") != KIND:
        return None
    settings, shards = _read_manifest(folder)
    facts = {name: value for name, value in settings.items() if isinstance(value, str | int)}
    facts |= {name: value for name in _COUNTS if isinstance(value := manifest.get(name), int)}
    hashes = {name: digest for shard in shards for name, digest in shard.files.items()}
    files = [compare_file(folder, name, digest) for name, digest in sorted(hashes.items())]
    return FolderDescription(KIND, {**facts, "shards": len(shards)}, tuple(files))


def _check_files(folder: Path, shard: Shard) -> None:
    for name, digest in shard.files.items():
        if sha256_file(folder / name) != digest:
            raise LabseError(
                f"{folder / name}: its SHA-256 is not the one in {MANIFEST_NAME}; the file was "
                "changed or damaged, copy it again or encode anew"
            )


def _read_manifest(folder: Path) -> tuple[dict[str, object], list[Shard]]:
    """Returns settings and shards of a folder that is whole.

    Raises:
        LabseError: it is not whole, or holds no vectors.
    """
    if (folder / JOURNAL_NAME).is_file():
        raise LabseError(f"{folder}: not whole yet; run the same labse encode again to finish it")
    found = read_shards(folder)
    if found is None:
        raise LabseError(f"{folder}: holds no vectors of labse encode (no {MANIFEST_NAME} of them)")
    numbers = [shard.number for shard in found[1]]
    if numbers != list(range(len(numbers))):
        raise LabseError(f"{folder / MANIFEST_NAME}: shards are missing; copy the folder again")
    return found


def _storage_of(settings: Mapping[str, object], folder: Path) -> tuple[Storage, int]:
    storage, size = settings.get("storage"), settings.get("embedding_size")
    if storage not in STORAGE_TYPES or not isinstance(size, int):
        raise LabseError(f"{folder / MANIFEST_NAME}: no storage or size; copy the folder again")
    return cast("Storage", storage), size
