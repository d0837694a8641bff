from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.job.shard_run import EncodedFolder
from labse.encoder.job.verification import describe_embeddings, verify_embeddings
from labse.errors import LabseError

TEXTS = ["free", "", "equal", "and", "rights", "", "born"]


@pytest.fixture(params=["float32", "float16", "int8"])
def folder(
    fill: Callable[..., EncodedFolder], tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    fill(TEXTS, tmp_path / "out", storage=request.param)
    return tmp_path / "out"


def test_a_whole_folder_is_told_with_its_counts(folder: Path) -> None:
    found = verify_embeddings(folder)
    assert (found.num_rows, found.embedding_size, found.num_shards) == (7, 32, 2)
    assert found.num_files == len(list(folder.glob("shard-*")))


def test_each_flipped_byte_is_found(folder: Path) -> None:
    for path in folder.glob("shard-*"):
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        with pytest.raises(LabseError, match=path.name):
            verify_embeddings(folder)
        path.write_bytes(original)
    verify_embeddings(folder)


def test_a_row_that_is_no_unit_vector_is_named(tmp_path: Path) -> None:
    for bad in (np.nan, np.inf, 0.0, 2.0):
        rows = np.eye(9_000, 3, k=0, dtype=np.float32)
        rows[:, 0] = 1
        rows[:, 1:] = 0
        rows[8_500, 0] = bad
        np.save(tmp_path / "a.npy", rows)
        with pytest.raises(LabseError, match=r"row 8500 \(from 0\): not a finite vector"):
            verify_embeddings(tmp_path / "a.npy")


def test_a_folder_is_described_with_the_state_of_its_files(folder: Path) -> None:
    path = folder / "shard-000001.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    (folder / "shard-000000.empty.npy").unlink()
    described = describe_embeddings(folder)
    assert described is not None
    assert described.kind == "embeddings"
    assert (described.facts["num_rows"], described.facts["shards"]) == (7, 2)
    states = {file.name: file.state for file in described.files}
    assert states["shard-000000.npy"] == "ok"
    assert states["shard-000001.npy"] == "changed"
    assert states["shard-000000.empty.npy"] == "missing"


def test_other_folders_are_not_described(tmp_path: Path) -> None:
    assert describe_embeddings(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"kind": "run"}')
    assert describe_embeddings(tmp_path) is None
