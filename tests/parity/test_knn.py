"""Our k-NN against faiss IndexFlatIP on unit rows."""

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray

from labse.search.knn import mutual_neighbours, nearest_neighbours

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # SWIG's types have no __module__ (a DeprecationWarning).
    faiss = pytest.importorskip("faiss")


def unit_rows(num_rows: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((num_rows, 64), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def faiss_search(queries: NDArray, corpus: NDArray, k: int) -> tuple[NDArray, NDArray]:
    index = faiss.IndexFlatIP(corpus.shape[1])
    index.add(corpus)
    similarities, neighbours = index.search(queries, k)
    return neighbours, similarities


@pytest.mark.parametrize("k", [1, 4, 16])
@pytest.mark.parametrize("block_rows", [100, 2048])
def test_neighbours_equal_faiss(k: int, block_rows: int) -> None:
    queries, corpus = unit_rows(700, 0), unit_rows(1100, 1)
    found = nearest_neighbours(queries, corpus, k, block_rows=block_rows)
    neighbours, similarities = faiss_search(queries, corpus, k)
    assert (found.neighbours == neighbours).all()
    # Two float32 roundings of unit rows: 64 products, each within 2**-24.
    assert np.abs(found.similarities - similarities).max() < 1e-6


def test_both_directions_equal_faiss() -> None:
    source, target = unit_rows(700, 0), unit_rows(1100, 1)
    found = mutual_neighbours(source, target, 4, block_rows=256)
    assert (found.forward.neighbours == faiss_search(source, target, 4)[0]).all()
    assert (found.backward.neighbours == faiss_search(target, source, 4)[0]).all()
