import numpy as np
import pytest

from labse.bert.config import BertConfig
from labse.dual_encoder.config import DualEncoderConfig
from labse.encoder.pooling import (
    average_windows,
    normalize_rows,
    pool_tokens,
    project_and_normalize,
)

HIDDEN = np.array([[[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [np.nan, np.inf]]], np.float32)
LENGTHS = np.array([3, 2])


def test_cls_takes_the_first_state() -> None:
    assert pool_tokens(HIDDEN, LENGTHS, "cls").tolist() == [[1, 2], [7, 8]]


def test_mean_is_over_real_tokens_whatever_the_padding_holds() -> None:
    np.testing.assert_allclose(pool_tokens(HIDDEN, LENGTHS, "mean"), [[3, 4], [8, 9]], rtol=1e-6)


@pytest.mark.parametrize(
    ("projection", "expected"),
    [("none", [2.0, 0.0]), ("linear", [2.5, 4.0]), ("tanh", np.tanh([2.5, 4.0]))],
)
def test_projection_is_followed_by_the_unit_norm(projection: str, expected: list[float]) -> None:
    config = DualEncoderConfig(
        bert=BertConfig(hidden_size=2, num_attention_heads=1), projection=projection
    )
    weights = {
        "dense.weight": np.array([[1, 0], [2, 1]], np.float32),
        "dense.bias": np.array([0.5, 0], np.float32),
    }

    embeddings = project_and_normalize(np.array([[2, 0]], np.float32), config, weights)

    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings[0], expected / np.linalg.norm(expected), rtol=1e-6)


def test_a_row_of_zeros_stays_one_and_the_argument_is_not_changed() -> None:
    rows = np.array([[0, 0], [3, 4]], np.float32)

    np.testing.assert_allclose(normalize_rows(rows), [[0, 0], [0.6, 0.8]], rtol=1e-6)
    assert rows.tolist() == [[0, 0], [3, 4]]


def test_windows_weigh_as_many_tokens_as_they_have_and_single_ones_stay_to_the_bit() -> None:
    embeddings = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0], [-1, 0]], np.float32)
    averaged = average_windows(embeddings, np.array([3, 1, 7, 2, 2]), np.array([0, 2, 3, 5]))
    np.testing.assert_allclose(averaged[0], np.array([3, 1]) / np.sqrt(10), rtol=1e-6)
    assert averaged[1].tolist() == embeddings[2].tolist()
    assert averaged[2].tolist() == [1, 0]  # The two cancel out; the first stands for both.
