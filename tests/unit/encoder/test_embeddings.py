import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labse.encoder.job.embeddings import check_same_model, open_embeddings
from labse.encoder.job.shard_run import EncodedFolder
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


def test_all_rows_can_be_had_in_blocks_or_as_an_array(folder: Path) -> None:
    embeddings = open_embeddings(folder)
    blocks = list(embeddings.iter_blocks(3))
    assert [len(block) for block in blocks] == [3, 3, 3, 2]
    np.testing.assert_array_equal(np.concatenate(blocks), np.asarray(embeddings))
    assert np.asarray(embeddings, np.float64).dtype == np.float64
    assert len(embeddings) == 11
    assert embeddings.empty_rows.tolist() == [1, 5]
    assert embeddings.model_sha256 == "m"


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


def test_vectors_of_two_models_are_not_compared(fill: Fill, folder: Path, tmp_path: Path) -> None:
    fill(TEXTS, tmp_path / "other", settings={"model_sha256": "n"})
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
