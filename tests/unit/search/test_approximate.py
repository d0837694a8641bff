import numpy as np
import pytest
from numpy.typing import NDArray

from labse.search.approximate import approximate_neighbours
from labse.search.knn import nearest_neighbours

pytest.importorskip("faiss")


def clusters(num_rows: int, seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((40, 16))
    rows = centres[generator.integers(0, 40, num_rows)] + 0.6 * generator.standard_normal(
        (num_rows, 16)
    )
    return rows.astype(np.float32)


@pytest.mark.parametrize("index", ["ivf", "ivf-sq", "hnsw"])
def test_recall_is_what_a_comparison_with_the_exact_search_gives(index: str) -> None:
    queries, corpus = clusters(200, 0), clusters(3000, 1)
    searched = approximate_neighbours(queries, corpus, 4, index=index)  # type: ignore[arg-type]
    exact = nearest_neighbours(queries, corpus, 4)
    hits = [
        set(a) & set(b) for a, b in zip(exact.neighbours, searched.found.neighbours, strict=True)
    ]
    assert searched.num_sampled == 200
    assert searched.recall == pytest.approx(np.mean([len(hit) / 4 for hit in hits]))
    assert searched.recall > 0.6
    is_same = searched.found.neighbours == exact.neighbours
    # Similarities are computed anew: those found are as exact as those of the exact search.
    assert searched.found.similarities[is_same] == pytest.approx(
        exact.similarities[is_same], abs=1e-6
    )


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_more_effort_finds_more(index: str) -> None:
    queries, corpus = clusters(200, 0), clusters(6000, 1)
    low, high = (
        approximate_neighbours(queries, corpus, 4, index=index, effort=effort)  # type: ignore[arg-type]
        for effort in (1, 500)
    )
    assert low.recall < high.recall
    assert high.recall > 0.99


def test_a_small_corpus_is_searched_exactly() -> None:
    queries, corpus = clusters(20, 0), clusters(50, 1)
    searched = approximate_neighbours(queries, corpus, 60)
    assert searched.recall == 1
    assert (searched.found.neighbours == nearest_neighbours(queries, corpus, 60).neighbours).all()


def test_every_row_has_k_neighbours_even_if_its_lists_are_short() -> None:
    queries, corpus = clusters(30, 0), clusters(600, 1)
    searched = approximate_neighbours(queries, corpus, 300)
    assert (searched.found.neighbours >= 0).all()
    assert np.isfinite(searched.found.similarities).all()
