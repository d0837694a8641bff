from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.json_executor import JsonExecutor

from labse.files.stage import open_stage
from labse.search.approximate import ApproximateNeighbours, approximate_neighbours
from labse.search.knn import nearest_neighbours

pytest.importorskip("faiss")


Search = Callable[..., ApproximateNeighbours]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    def run(queries: NDArray, corpus: NDArray, k: int, **options: object) -> ApproximateNeighbours:
        paths = tmp_path / "queries.npy", tmp_path / "corpus.npy"
        for path, rows in zip(paths, (queries, corpus), strict=True):
            np.save(path, rows)
        with open_stage(None, {}) as stage:
            return approximate_neighbours(*paths, k, stage, **options)  # type: ignore[arg-type]

    return run


def clusters(num_rows: int, seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((40, 16))
    rows = centres[generator.integers(0, 40, num_rows)] + 0.6 * generator.standard_normal(
        (num_rows, 16)
    )
    return rows.astype(np.float32)


@pytest.mark.parametrize("index", ["ivf", "ivf-sq", "hnsw"])
def test_recall_is_what_a_comparison_with_the_exact_search_gives(
    search: Search, index: str
) -> None:
    queries, corpus = clusters(200, 0), clusters(3000, 1)
    searched = search(queries, corpus, 4, index=index)
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
def test_more_effort_finds_more(search: Search, index: str) -> None:
    queries, corpus = clusters(200, 0), clusters(6000, 1)
    low, high = (search(queries, corpus, 4, index=index, effort=effort) for effort in (1, 500))
    assert low.recall < high.recall
    assert high.recall > 0.99


def test_a_small_corpus_is_searched_exactly(search: Search) -> None:
    queries, corpus = clusters(20, 0), clusters(50, 1)
    searched = search(queries, corpus, 60)
    assert searched.recall == 1
    assert (searched.found.neighbours == nearest_neighbours(queries, corpus, 60).neighbours).all()


def test_every_row_has_k_neighbours_even_if_its_lists_are_short(search: Search) -> None:
    queries, corpus = clusters(30, 0), clusters(600, 1)
    searched = search(queries, corpus, 300)
    assert (searched.found.neighbours >= 0).all()
    assert np.isfinite(searched.found.similarities).all()


@pytest.mark.parametrize("index", ["ivf-sq", "hnsw"])
def test_shards_are_searched_by_tasks_and_find_no_less(
    search: Search, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, corpus = clusters(120, 0), clusters(3000, 1)
    whole = search(queries, corpus, 4, index=index)
    monkeypatch.setattr("labse.search.approximate._CHUNK_ROWS", 700)  # A corpus of five shards.
    monkeypatch.setattr("labse.search.approximate._QUERY_ROWS", 50)
    cut = search(queries, corpus, 4, index=index, memory_bytes=1, workers=JsonExecutor())
    assert cut.recall >= whole.recall - 0.02
    exact = nearest_neighbours(queries, corpus, 3000)
    cosines = {
        (q, n): s
        for q in range(120)
        for n, s in zip(exact.neighbours[q], exact.similarities[q], strict=True)
    }
    for query, (neighbours, similarities) in enumerate(
        zip(cut.found.neighbours.tolist(), cut.found.similarities.tolist(), strict=True)
    ):
        assert [cosines[query, n] for n in neighbours] == pytest.approx(similarities, abs=1e-6)
