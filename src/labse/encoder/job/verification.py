"""Whether vectors on disk are what was written, and what they are.

Takes: a folder of `labse encode`, or a `.npy` file. Gives: its facts, or an error that names what
    is wrong.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labse.encoder.job.embeddings import open_embeddings, read_manifest
from labse.encoder.job.records import KIND
from labse.encoder.job.shard import Shard
from labse.encoder.pooling import find_bad_row
from labse.errors import LabseError
from labse.files.atomic import MANIFEST_NAME, read_json, sha256_file
from labse.model_folder.describe import FolderDescription, compare_file

__all__ = ["Verified", "describe_embeddings", "verify_embeddings"]

_NORM_TOLERANCE = 2e-3  # Rounding to float16 moves a norm by less.
_COUNTS = ("num_rows", "num_encoded", "num_duplicates", "num_empty", "num_long")


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify_embeddings` found to be right."""

    path: Path
    num_shards: int
    num_files: int
    num_rows: int
    embedding_size: int
    storage: str
    model_sha256: str | None


def verify_embeddings(path: str | Path) -> Verified:
    """Checks a folder or `.npy` file: hashes, shapes, rows, finite values, length 1.

    Raises:
        LabseError: something is not as it was written; the message names the file, and the row.
    """
    embeddings = open_embeddings(path)
    num_files = num_shards = 1
    if Path(path).is_dir():
        _, shards = read_manifest(Path(path))
        num_shards, num_files = len(shards), sum(len(shard.files) for shard in shards)
        for shard in shards:
            _check_files(Path(path), shard)
    first_row = 0
    for block in embeddings.iter_blocks(8192):
        if (row := find_bad_row(block, _NORM_TOLERANCE)) is not None:
            raise LabseError(
                f"{path}, row {first_row + row} (from 0): not a finite vector of length 1 but of "
                f"{np.linalg.norm(block[row]):.4g}; encode again"
            )
        first_row += len(block)
    return Verified(
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
    settings, shards = read_manifest(folder)
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
