"""How much of two pages says the same in the same order.

Takes: the vectors and weights of the sentences of two pages. Gives: a score from 0 to 1.
Source: the idea of re-scoring candidates by aligning them is Thompson and Koehn 2020, section 3.3.
    Theirs aligns spans (90 ms a pair of pages here); this one, sentences one to one (0.1 ms), and
    on the sites of docs/experiments.md it orders candidates as well.

Dimensions: N and M sentences of two pages, D of a vector.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_UNITS", "PageVectors", "order_score", "pool_sentences"]

MAX_UNITS = 400
"""Sentences of a page that are compared; those of longer pages are pooled."""


class PageVectors(tuple[NDArray[np.float32], NDArray[np.float32]]):
    """The (N, D) unit vectors of the sentences of a page, and their (N,) weights."""

    __slots__ = ()

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(N, D) unit rows."""
        return self[0]

    @property
    def weights(self) -> NDArray[np.float32]:
        """(N,) above 0."""
        return self[1]


def order_score(source: PageVectors, target: PageVectors, base: float) -> float:
    """Returns the share of two pages, by weight, that is alike sentence by sentence in order.

    2 * max over monotone alignments of sum of min(w_i, w_j) * max(0, (cos_ij - base) / (1 - base))
    over sum of w_i + sum of w_j

    What has no counterpart counts as unlike, so half a translation has half the score.

    Args:
        source: sentences of a page.
        target: sentences of another.
        base: the cosine of sentences that have nothing to do with each other.
    """
    gains = source.vectors @ target.vectors.T
    gains -= base
    gains /= max(1 - base, 1e-3)
    np.maximum(gains, 0, out=gains)
    gains *= np.minimum(source.weights[:, None], target.weights)
    if gains.shape[0] > gains.shape[1]:
        gains = gains.T
    # best[j]: of the sentences so far against the first j of the other page.
    best = np.zeros(gains.shape[1] + 1, np.float32)
    for row in gains:
        np.maximum.accumulate(np.maximum(best[1:], best[:-1] + row), out=best[1:])
    return float(2 * best[-1] / (source.weights.sum() + target.weights.sum()))


def pool_sentences(
    vectors: NDArray[np.floating], weights: NDArray[np.float32], max_units: int = MAX_UNITS
) -> PageVectors:
    """Returns the sentences of a page; neighbours are averaged beyond `max_units`."""
    vectors = vectors.astype(np.float32)
    if len(vectors) > max_units:
        edges = np.linspace(0, len(vectors), max_units + 1).astype(np.int64)[:-1]
        vectors = np.add.reduceat(vectors * weights[:, None], edges, axis=0)
        weights = np.add.reduceat(weights, edges)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return PageVectors((vectors / np.maximum(norms, 1e-6), weights))
