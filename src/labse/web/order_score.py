"""How much of two pages says the same in the same order.

Takes: the vectors and weights of the sentences of two pages. Gives: a score from 0 to 1.
Source: the idea of re-scoring candidates by aligning them is Thompson and Koehn 2020, section 3.3.
    Theirs aligns spans (90 ms a pair of pages here); this one, sentences one to one (0.1 ms), and
    on the sites of docs/experiments.md it orders candidates as well.

`order_score` is the definition; `order_scores` gives the same numbers for many pairs of pages.

Dimensions: N and M sentences of two pages, D of a vector.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_UNITS", "PageVectors", "order_score", "order_scores", "pool_sentences"]

MAX_UNITS = 400
"""Sentences of a page that are compared; those of longer pages are pooled."""

_BATCH_PAIRS = 256
_BATCH_CELLS = 1 << 21  # 8 MB: 13 pairs of the longest pages.


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
    gains = _find_gains(source, target, base)
    # best[j]: of the sentences so far against the first j of the other page.
    best = np.zeros(gains.shape[1] + 1, np.float32)
    for row in gains:
        np.maximum.accumulate(np.maximum(best[1:], best[:-1] + row), out=best[1:])
    return float(2 * best[-1] / (source.weights.sum() + target.weights.sum()))


def order_scores(
    pairs: Iterable[tuple[PageVectors, PageVectors]], base: float
) -> NDArray[np.float32]:
    """Returns (C,) the `order_score` of each of many pairs.

    Pages of like length go through the rows together, which is where short pages spend their time;
    of pages of 300 sentences the product of the vectors takes the longer part.

    Args:
        pairs: taken one by one, so that a caller may read them as they are asked for.
        base: the cosine of sentences that have nothing to do with each other.
    """
    scores: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    pairs = iter(pairs)
    while held := list(islice(_iter_gains(pairs, base), _BATCH_PAIRS)):
        best = np.empty(len(held), np.float32)
        gains = [gains for gains, _ in held]
        for places in _group_by_length(gains):
            best[places] = _best_sums([gains[place] for place in places])
        best *= 2
        best /= np.array([weight for _, weight in held], np.float32)
        scores.append(best)
    return np.concatenate(scores)


def _iter_gains(
    pairs: Iterator[tuple[PageVectors, PageVectors]], base: float
) -> Iterator[tuple[NDArray[np.float32], np.float32]]:
    """Yields the gains and the weight of pairs, until there are many gains."""
    num_cells = 0
    while num_cells < _BATCH_CELLS and (pair := next(pairs, None)):
        gains = _find_gains(*pair, base)
        num_cells += gains.size
        yield gains, pair[0].weights.sum() + pair[1].weights.sum()


def _find_gains(source: PageVectors, target: PageVectors, base: float) -> NDArray[np.float32]:
    """Returns what each two sentences are worth to an alignment, the shorter page in rows."""
    gains = source.vectors @ target.vectors.T
    gains -= base
    gains /= max(1 - base, 1e-3)
    np.maximum(gains, 0, out=gains)
    gains *= np.minimum(source.weights[:, None], target.weights)
    return gains.T if gains.shape[0] > gains.shape[1] else gains


def _group_by_length(gains: Sequence[NDArray[np.float32]]) -> Iterator[list[int]]:
    """Yields places of gains that have about as many columns, those of more rows first."""
    order = sorted(range(len(gains)), key=lambda place: gains[place].shape[1])
    while order:
        longest = gains[order[0]].shape[1] * 5 // 4 + 8
        size = sum(gains[place].shape[1] <= longest for place in order)
        yield sorted(order[:size], key=lambda place: -gains[place].shape[0])
        del order[:size]


def _best_sums(gains: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns (B,) the best alignments of B pairs whose rows get fewer; the rest is zeros."""
    height, width = len(gains[0]), max(found.shape[1] for found in gains)
    padded = np.zeros((height, len(gains), width), np.float32)
    for place, found in enumerate(gains):
        padded[: len(found), place, : found.shape[1]] = found
    best = np.zeros((len(gains), width + 1), np.float32)
    reached = np.empty((len(gains), width), np.float32)
    num_left = len(gains)
    for row in range(height):
        while len(gains[num_left - 1]) <= row:
            num_left -= 1
        now, step = best[:num_left], reached[:num_left]
        np.add(now[:, :-1], padded[row, :num_left], out=step)
        np.maximum(step, now[:, 1:], out=step)
        np.maximum.accumulate(step, axis=1, out=now[:, 1:])
    return best[:, -1]


def pool_sentences(
    vectors: NDArray[np.floating], weights: NDArray[np.float32], max_units: int = MAX_UNITS
) -> PageVectors:
    """Returns the sentences of a page; neighbours are averaged beyond `max_units`."""
    vectors = vectors.astype(np.float32)
    if len(vectors) > max_units:
        edges = np.linspace(0, len(vectors), max_units + 1).astype(np.int64)[:-1]
        vectors = np.add.reduceat(vectors * weights[:, None], edges, axis=0)
        weights = np.add.reduceat(weights, edges)
    norms = np.sqrt(np.add.reduce(vectors * vectors, axis=1, keepdims=True))
    vectors /= np.maximum(norms, 1e-6)
    return PageVectors((vectors, weights))
