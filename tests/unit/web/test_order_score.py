"""Scores of many pairs of pages are those of each alone, to the last bit."""

import numpy as np

from labse.web.order_score import PageVectors, order_score, order_scores, pool_sentences


def test_many_pairs_of_pages_of_any_length_have_the_scores_of_each_alone() -> None:
    draws = np.random.default_rng(1)

    def draw_page(num_sentences: int) -> PageVectors:
        vectors = draws.standard_normal((num_sentences, 16))
        return pool_sentences(vectors, draws.random(num_sentences).astype(np.float32) + 0.01)

    # More than one batch of pairs, and more than one of cells; one page is a single sentence.
    lengths = [(1, 1), (1, 9), *draws.integers(1, 30, (600, 2)), *draws.integers(1, 500, (40, 2))]
    pairs = [(draw_page(int(n)), draw_page(int(m))) for n, m in lengths]

    alone = np.array([order_score(*pair, 0.1) for pair in pairs], np.float32)

    assert np.array_equal(order_scores(iter(pairs), 0.1), alone)
    assert order_scores([], 0.1).shape == (0,)


def test_the_best_alignment_of_two_sentences_takes_the_order_into_account() -> None:
    # Crossed sentences: one of the two can be aligned, 2 * 1 / (2 + 2).
    straight = PageVectors((np.eye(2, dtype=np.float32), np.ones(2, np.float32)))
    crossed = PageVectors((np.eye(2, dtype=np.float32)[::-1], np.ones(2, np.float32)))

    assert order_scores([(straight, straight), (straight, crossed)], 0.0).tolist() == [1, 0.5]
