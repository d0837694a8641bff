import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labse.encoder.job.embeddings import (
    check_same_model,
    describe_embeddings,
    open_embeddings,
    verify_embeddings,
)
from labse.encoder.job.encode_folder import EncodedFolder
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import LabseError, UsageError

Fill = Callable[..., EncodedFolder]
TEXTS = ["free", "", "equal", "and", "rights", "", "born", "dignity", "in", "human", "beings"]


@pytest.fixture
def folder(fill: Fill, tmp_path: Path) -> Path:
    fill(TEXTS, tmp_path / "out")
    return tmp_path / "out"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_shards_are_indexed_like_the_one_matrix_they_are(folder: Path, data: st.DataObject) -> None:
    embeddings = open_embeddings(folder)
    whole = np.concatenate([np.load(path) for path in sorted(folder.glob("shard-00000?.npy"))])
    assert embeddings.shape == whole.shape == (11, 32)
    index = data.draw(
        st.integers(-11, 10)
        | st.slices(11)
        | st.lists(st.integers(-11, 10)).map(lambda rows: np.array(rows, np.int64))
    )
    np.testing.assert_array_equal(embeddings[index], whole[index])


def test_all_rows_can_be_had_in_blocks_or_as_an_array(
    folder: Path, encoder: SentenceEncoder
) -> None:
    embeddings = open_embeddings(folder)
    blocks = list(embeddings.iter_blocks(3))
    assert [len(block) for block in blocks] == [3, 3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), np.asarray(embeddings))
    assert np.asarray(embeddings, np.float64).dtype == np.float64
    assert len(embeddings) == 11
    assert embeddings.empty_rows.tolist() == [1, 5]
    assert embeddings.model_sha256 == encoder.hash_model()


def test_rows_outside_are_an_index_error(folder: Path) -> None:
    embeddings = open_embeddings(folder)
    for rows in (11, -12, np.array([0, 11])):
        with pytest.raises(IndexError):
            embeddings[rows]
    with pytest.raises(IndexError, match="a number, a slice or a list"):
        embeddings[np.ones(11, bool)]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_one_file_is_read_the_same_way(tmp_path: Path, dtype: str) -> None:
    rows = np.eye(5, 3, dtype=dtype)
    np.save(tmp_path / "a.npy", rows)
    embeddings = open_embeddings(tmp_path / "a.npy")
    assert (embeddings.shape, embeddings.storage, embeddings.model_sha256) == ((5, 3), dtype, None)
    assert embeddings[1:3].dtype == np.float32
    np.testing.assert_array_equal(embeddings[1:3], rows[1:3])
    assert embeddings.empty_rows.tolist() == []


def test_what_is_no_matrix_of_floats_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 2), np.int64))
    with pytest.raises(LabseError, match="2 dimensions of int64"):
        open_embeddings(tmp_path / "a.npy")
    with pytest.raises(LabseError, match="no such file"):
        open_embeddings(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabseError, match="holds no vectors"):
        open_embeddings(tmp_path / "empty")


def test_a_folder_with_a_shard_of_another_size_or_without_one_is_refused(folder: Path) -> None:
    np.save(folder / "shard-000001.npy", np.ones((3, 32), np.float32))
    with pytest.raises(LabseError, match=r"shard-000001.npy: shape \(3, 32\), the manifest says"):
        open_embeddings(folder)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    del manifest["shards"][1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LabseError, match="shards are missing"):
        open_embeddings(folder)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (np.array([b"1", b"2"]), "holds no numbers of rows"),
        (np.ones((2, 2), np.int64), "holds no numbers of rows"),
        (np.array([999]), "names a row that is not there"),
    ],
)
def test_a_damaged_list_of_empty_rows_is_refused(
    folder: Path, flags: np.ndarray, message: str
) -> None:
    (path, *_) = sorted(folder.glob("shard-*.empty.npy"))
    np.save(path, flags)
    with pytest.raises(LabseError, match=f"{path.name}: {message}"):
        open_embeddings(folder)


def test_vectors_of_two_models_are_not_compared(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["settings"]["model_sha256"] = "n"
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest))
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    np.save(tmp_path / "b.npy", np.ones((2, 32), np.float32))
    first = open_embeddings(folder)
    check_same_model(first, first)
    check_same_model(first, open_embeddings(tmp_path / "b.npy"))  # Nothing is known of it.
    with pytest.raises(UsageError, match="another model"):
        check_same_model(first, open_embeddings(tmp_path / "other"))
    with pytest.raises(UsageError, match="vectors of 32 values"):
        check_same_model(first, open_embeddings(tmp_path / "a.npy"))


def test_int8_rows_are_unit_rows(fill: Fill, encoder: SentenceEncoder, tmp_path: Path) -> None:
    fill(TEXTS, tmp_path / "out", storage="int8")
    rows = open_embeddings(tmp_path / "out")[:]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert np.einsum("nd,nd->n", rows, encoder.encode(TEXTS)).min() > 0.9998


@pytest.fixture(params=["float32", "float16", "int8"])
def stored(fill: Fill, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    fill(TEXTS, tmp_path / "out", storage=request.param)
    return tmp_path / "out"


def test_a_whole_folder_is_told_with_its_counts(stored: Path) -> None:
    found = verify_embeddings(stored)
    assert (found.num_rows, found.embedding_size, found.num_shards) == (11, 32, 3)
    assert found.num_files == len(list(stored.glob("shard-*")))


def test_each_flipped_byte_is_found(stored: Path) -> None:
    for path in stored.glob("shard-*"):
        original = path.read_bytes()
        path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
        with pytest.raises(LabseError, match=path.name):
            verify_embeddings(stored)
        path.write_bytes(original)
    verify_embeddings(stored)


def test_a_row_that_is_no_unit_vector_is_named(tmp_path: Path) -> None:
    for bad in (np.nan, np.inf, 0.0, 2.0):
        rows = np.eye(9_000, 3, k=0, dtype=np.float32)
        rows[:, 0] = 1
        rows[:, 1:] = 0
        rows[8_500, 0] = bad
        np.save(tmp_path / "a.npy", rows)
        with pytest.raises(LabseError, match=r"row 8500 \(from 0\): not a finite vector"):
            verify_embeddings(tmp_path / "a.npy")


def test_a_folder_is_described_with_the_state_of_its_files(stored: Path) -> None:
    path = stored / "shard-000001.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")
    (stored / "shard-000000.empty.npy").unlink()
    described = describe_embeddings(stored)
    assert described is not None
    assert described.kind == "embeddings"
    assert (described.facts["num_rows"], described.facts["shards"]) == (11, 3)
    states = {file.name: file.state for file in described.files}
    assert states["shard-000000.npy"] == "ok"
    assert states["shard-000001.npy"] == "changed"
    assert states["shard-000000.empty.npy"] == "missing"


def test_other_folders_are_not_described(tmp_path: Path) -> None:
    assert describe_embeddings(tmp_path) is None
    (tmp_path / "manifest.json").write_text('{"kind": "run"}')
    assert describe_embeddings(tmp_path) is None
