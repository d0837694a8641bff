"""Questions to a corpus against `sentence_transformers.util`."""

import inspect
import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch

from labse.search.corpus import (
    PreparedCorpus,
    community_detection,
    paraphrase_mining,
    paraphrase_mining_embeddings,
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


class Looked:
    """A model whose vector of the sentence "7" is row 7."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.options: dict[str, object] = {}

    def encode(self, sentences: list[str], /, **options: object) -> np.ndarray:
        self.options = options
        return self.vectors[[int(sentence) for sentence in sentences]]


def test_paraphrases_are_those_of_the_oracle_from_vectors_and_from_a_model(
    vectors: np.ndarray,
) -> None:
    expected = util.paraphrase_mining_embeddings(vectors, top_k=5, max_pairs=10_000)
    model, sentences = Looked(vectors), [str(row) for row in range(len(vectors))]
    for found in (
        paraphrase_mining_embeddings(vectors, top_k=5, max_pairs=10_000),
        paraphrase_mining(vectors, top_k=5, max_pairs=10_000),
        paraphrase_mining(model, sentences, top_k=5, max_pairs=10_000, batch_size=8),
    ):
        assert {(i, j) for _, i, j in found} == {(i, j) for _, i, j in expected}
        scores = [[pair[0] for pair in pairs] for pairs in (found, expected)]
        np.testing.assert_allclose(*scores, atol=1e-5)
    assert model.options == {"batch_size": 8}


def test_a_model_without_sentences_and_one_string_are_told(vectors: np.ndarray) -> None:
    for arguments in ((Looked(vectors),), (Looked(vectors), "7"), (vectors, ["7"])):
        with pytest.raises(TypeError, match="paraphrase_mining: "):
            paraphrase_mining(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (semantic_search, util.semantic_search),
        (paraphrase_mining, util.paraphrase_mining),
        (paraphrase_mining_embeddings, util.paraphrase_mining_embeddings),
        (community_detection, util.community_detection),
    ],
)
def test_every_keyword_of_the_oracle_is_taken(
    vectors: np.ndarray, ours: Callable[..., object], theirs: Callable[..., object]
) -> None:
    parameters = inspect.signature(theirs).parameters
    options = {name: p.default for name, p in parameters.items() if p.default is not p.empty}
    positional = {"semantic_search": (vectors, vectors)}
    positional["paraphrase_mining"] = (Looked(vectors), ["0", "1", "2"])
    assert ours(*positional.get(ours.__name__, (vectors,)), **options)


def test_scores_of_other_kinds_and_keywords_of_nobody_are_told(vectors: np.ndarray) -> None:
    with pytest.raises(ValueError, match="score_function 'dot_score': scores are cosines"):
        semantic_search(vectors, vectors, score_function=util.dot_score)
    with pytest.raises(TypeError, match="topk"):
        semantic_search(vectors, vectors, topk=3)  # type: ignore[call-arg]


def test_lists_arrays_and_tensors_are_alike(vectors: np.ndarray) -> None:
    expected = semantic_search(vectors[:3], vectors)
    tensor = torch.from_numpy(vectors).requires_grad_()
    for rows in (vectors.tolist(), tensor, list(tensor), vectors.astype(np.float64)):
        assert semantic_search(rows[:3], rows) == expected
    assert community_detection(tensor) == community_detection(vectors)
    assert paraphrase_mining(tensor) == paraphrase_mining(vectors)


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
