"""Reads what TensorFlow itself wrote: tests/data/README.md says how."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from labse.errors import LabseError
from labse.model_folder.formats.tf_bundle import read_tf_bundle

FOLDER = Path(__file__).parents[2] / "data/tensorflow"
PREFIXES = ["bert/bert_model.ckpt", "hub/variables/variables", "garden/bert_model.ckpt"]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER / "bert", tmp_path / "bert")
    return tmp_path / "bert/bert_model.ckpt"


def test_variables_are_those_that_were_saved() -> None:
    expected = np.load(FOLDER / "expected.npz")
    bert = read_tf_bundle(FOLDER / PREFIXES[0])

    table = bert["bert/embeddings/word_embeddings"]
    np.testing.assert_array_equal(table, expected["embeddings.word_embeddings.weight"])
    kernel = bert["bert/encoder/layer_1/intermediate/dense/kernel"]
    np.testing.assert_array_equal(kernel.T, expected["encoder.layer.1.intermediate.dense.weight"])
    assert "global_step" not in bert  # A counter is no float.


def test_full_names_are_taken_unless_they_say_nothing() -> None:
    hub, garden = (read_tf_bundle(FOLDER / prefix) for prefix in PREFIXES[1:])

    assert hub["transformer/layer_0/self_attention/key/kernel"].shape == (8, 2, 4)
    assert any(name.startswith("model/layer_with_weights-0/") for name in garden)


def test_a_missing_file_is_named(prefix: Path) -> None:
    data = prefix.with_name("bert_model.ckpt.data-00000-of-00001")
    data.unlink()
    with pytest.raises(LabseError, match=r"data-00000-of-00001: cannot be read: No such file"):
        read_tf_bundle(prefix)


@pytest.mark.parametrize("num_bytes", [0, 10, 100, 1000])
def test_a_cut_file_is_an_error(prefix: Path, num_bytes: int) -> None:
    index = prefix.with_name("bert_model.ckpt.index")
    data = prefix.with_name("bert_model.ckpt.data-00000-of-00001")
    whole = index.read_bytes()
    index.write_bytes(whole[:num_bytes])
    with pytest.raises(LabseError, match=r"ckpt.index: not a whole checkpoint of TensorFlow"):
        read_tf_bundle(prefix)

    index.write_bytes(whole)
    data.write_bytes(data.read_bytes()[: max(num_bytes, 1)])
    with pytest.raises(LabseError, match="the file of data is cut short"):
        read_tf_bundle(prefix)
