import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.encoder.pooling import (
    average_windows,
    normalize_rows,
    pool_tokens,
    project_and_normalize,
)
from labse.network.config import BertConfig, DualEncoderConfig

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


@given(
    num_rows=st.integers(0, 40),
    hidden_size=st.sampled_from([1, 3, 24, 384, 2100]),
    output_size=st.sampled_from([1, 7, 40, 100]),
    seed=st.integers(0, 99),
)
def test_a_projection_of_any_size_is_the_product(
    num_rows: int, hidden_size: int, output_size: int, seed: int
) -> None:
    config = DualEncoderConfig(
        bert=BertConfig(hidden_size=hidden_size, num_attention_heads=1),
        projection="linear",
        embedding_size=output_size,
    )
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((num_rows, hidden_size), np.float32)
    weights = {
        "dense.weight": draw.standard_normal((output_size, hidden_size), np.float32),
        "dense.bias": draw.standard_normal(output_size, np.float32),
    }

    embeddings = project_and_normalize(rows, config, weights)

    expected = rows.astype(float) @ weights["dense.weight"].T.astype(float) + weights["dense.bias"]
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-30)
    assert embeddings.shape == (num_rows, output_size)
    np.testing.assert_allclose(embeddings, expected, atol=2e-5)


HASH_OF_VECTORS = """
import hashlib
import numpy as np
from labse.network.config import BertConfig
from labse.network.config import DualEncoderConfig
from labse.encoder.pooling import pool_tokens, project_and_normalize
draw = np.random.default_rng(0)
for width in (384, 768):
    config = DualEncoderConfig(bert=BertConfig(hidden_size=width), projection="tanh")
    weights = {
        "dense.weight": draw.standard_normal((width, width), np.float32),
        "dense.bias": draw.standard_normal(width, np.float32),
    }
    states = draw.standard_normal((40, 128, width), np.float32)
    pooled = pool_tokens(states, np.arange(89, 129), "mean")
    for num_rows in (1, 2, 3, 40, 300):
        rows = np.concatenate([pooled, states[:, 0] / 8] * 4)[:num_rows]
        vectors = project_and_normalize(rows, config, weights)
        print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""


def test_the_bytes_do_not_depend_on_the_threads_of_openblas() -> None:
    hashes = []
    for threads in ("1", "2", "5"):
        environment = os.environ | {"OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", HASH_OF_VECTORS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        hashes.append(done.stdout)
    assert len(hashes[0].split()) == 10
    assert hashes[0] == hashes[1] == hashes[2]


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
