from pathlib import Path

import numpy as np
import pytest

from labse.model_folder.formats.tf_bundle import read_tf_bundle
from labse.model_folder.formats.tf_names import from_tf_variables

FOLDER = Path(__file__).parents[2] / "data/tensorflow"


@pytest.mark.parametrize(
    "prefix", ["bert/bert_model.ckpt", "hub/variables/variables", "garden/bert_model.ckpt"]
)
def test_each_of_googles_ways_to_name_a_bert_gives_the_same_weights(prefix: str) -> None:
    expected = np.load(FOLDER / "expected.npz")

    weights = from_tf_variables(read_tf_bundle(FOLDER / prefix))

    assert set(weights) == set(expected)
    for name, array in weights.items():
        np.testing.assert_array_equal(array, expected[name], name)


def test_what_is_no_weight_of_a_bert_is_left_out() -> None:
    zeros = np.zeros((2, 2), np.float32)
    names = ["cls/predictions/output_bias", "bert/embeddings/word_embeddings/adam_m", "step"]
    assert from_tf_variables(dict.fromkeys(names, zeros)) == {}
