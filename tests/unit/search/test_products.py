import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.search.engine import find_candidates
from labse.search.knn import build_engine
from labse.search.numpy_engine import NumpyEngine


def unit_rows(num_rows: int, size: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((num_rows, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 6), st.floats(-1, 1))
def test_no_pair_that_reaches_its_bound_is_missed(
    num_left: int, num_right: int, k: int, bound: float
) -> None:
    left, right = unit_rows(num_left, 5, 0), unit_rows(num_right, 5, 1)
    cosines = left.astype(np.float64) @ right.astype(np.float64).T
    engine = NumpyEngine()
    products = engine.multiply(engine.load(left), engine.load(right))
    for axis, table in ((0, cosines), (1, cosines.T)):
        reached = np.full(len(table), bound, np.float32)
        found = find_candidates(products, axis, reached, k, table.shape[1])
        selected = set(zip(found.rows.tolist(), found.columns.tolist(), strict=True))
        for row, values in enumerate(table):
            best = np.argsort(-values, kind="stable")[:k]
            wanted = {(row, int(column)) for column in best if values[column] >= bound}
            assert wanted <= selected
        assert all(0 <= column < table.shape[1] for _, column in selected)


def test_a_crowd_within_the_error_is_told() -> None:
    rows = np.tile(unit_rows(1, 8, 0), (256, 1))
    engine = NumpyEngine()
    products = engine.multiply(engine.load(rows), engine.load(rows))
    reached = np.full(256, -np.inf, np.float32)
    assert find_candidates(products, 0, reached, 1, 256).is_crowded
    assert not find_candidates(products, 0, reached, 64, 256).is_crowded


def test_small_searches_do_not_import_torch() -> None:
    assert build_engine("auto", 1000).name == "numpy"
    assert build_engine("numpy", 10**15).name == "numpy"


def test_torch_is_taken_where_it_is_asked_for() -> None:
    pytest.importorskip("torch")
    assert build_engine("torch", 1).name == "torch"
