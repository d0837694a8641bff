"""Questions to a corpus against `sentence_transformers.util`."""

import time
import warnings

import numpy as np
import pytest

from labse.search.corpus import (
    PreparedCorpus,
    community_detection,
    paraphrase_mining,
    semantic_search,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    util = pytest.importorskip("sentence_transformers.util", reason="the oracle")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def vectors() -> np.ndarray:
    """Forty groups around random middles, not of unit length."""
    generator = np.random.default_rng(4)
    middles = np.repeat(generator.normal(size=(40, 24)), generator.integers(1, 14, 40), axis=0)
    return (middles + generator.normal(scale=0.35, size=middles.shape)).astype(np.float32)


def test_semantic_search_finds_what_the_oracle_finds(vectors: np.ndarray) -> None:
    expected = util.semantic_search(vectors[:30], vectors, top_k=7)
    for corpus in (vectors, PreparedCorpus(vectors)):
        found = semantic_search(vectors[:30], corpus, top_k=7)
        for ours, theirs in zip(found, expected, strict=True):
            assert [hit["corpus_id"] for hit in ours] == [hit["corpus_id"] for hit in theirs]
            scores = [[hit["score"] for hit in hits] for hits in (ours, theirs)]
            np.testing.assert_allclose(*scores, atol=1e-5)


def test_paraphrases_are_those_of_the_oracle(vectors: np.ndarray) -> None:
    expected = util.paraphrase_mining_embeddings(vectors, top_k=5, max_pairs=10_000)
    found = paraphrase_mining(vectors, top_k=5, max_pairs=10_000)
    assert {(i, j) for _, i, j in found} == {(i, j) for _, i, j in expected}
    scores = [[pair[0] for pair in pairs] for pairs in (found, expected)]
    np.testing.assert_allclose(*scores, atol=1e-5)


@pytest.mark.parametrize(("threshold", "size"), [(0.75, 5), (0.85, 3), (0.5, 10)])
def test_communities_are_those_of_the_oracle(
    vectors: np.ndarray, threshold: float, size: int
) -> None:
    expected = util.community_detection(
        vectors, threshold=threshold, min_community_size=size, show_progress_bar=False
    )
    found = community_detection(vectors, threshold=threshold, min_community_size=size)
    assert [list(map(int, group)) for group in expected] == found


def test_ties_go_by_index_and_what_is_no_vector_is_told() -> None:
    neighbours, _ = PreparedCorpus(np.ones((9, 4))).search(np.ones(4), k=3)
    assert neighbours.tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match="row 1 holds"):
        PreparedCorpus([[1.0, 0.0], [0.0, 0.0]])
    with pytest.raises(ValueError, match="queries of 3 values"):
        PreparedCorpus([[1.0, 0.0]]).search([1.0, 0.0, 0.0])


def test_a_question_to_a_prepared_corpus_costs_a_product() -> None:
    corpus = PreparedCorpus(np.random.default_rng(0).normal(size=(50_000, 128)))
    corpus.search(corpus.embeddings[0])
    start = time.process_time()
    corpus.search(corpus.embeddings[0])
    assert time.process_time() - start < 0.3  # About 0.01; preparing it takes 0.1.
