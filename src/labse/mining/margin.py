"""The margin of a pair: its cosine against those of its neighbourhood.

Takes: cosines and the mean cosines of both sides with their k neighbours. Gives: margin scores.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 3.1.
"""

from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from labse.search.knn import Neighbours

__all__ = ["Margin", "best_neighbours", "margin_scores"]

Margin: TypeAlias = Literal["ratio", "distance", "absolute"]


def margin_scores(
    similarities: NDArray[np.floating],
    source_means: NDArray[np.floating],
    target_means: NDArray[np.floating],
    margin: Margin,
) -> NDArray[np.float32]:
    """Scores pairs: margin(a, b), where a is the cosine and b the mean of the neighbourhood.

    b = sum over z in NN_k(x) of cos(x, z) / 2k  +  sum over z in NN_k(y) of cos(y, z) / 2k
    absolute: a      distance: a - b      ratio: a / b

    The three arrays broadcast. Where b is not positive, nothing is alike and a ratio would turn
    the order around: its score is -infinity.

    Args:
        similarities: cosines of the pairs.
        source_means: mean cosine of each pair's source with its k neighbours.
        target_means: the same of its target.
        margin: one of the three functions.

    Raises:
        ValueError: an unknown margin.
    """
    if margin not in get_args(Margin):
        raise ValueError(f"margin must be one of {', '.join(get_args(Margin))}, not {margin!r}")
    cosines = np.asarray(similarities, dtype=np.float64)
    means = (np.asarray(source_means, np.float64) + np.asarray(target_means, np.float64)) / 2

    if margin == "absolute":
        scores = np.broadcast_arrays(cosines, means)[0]
    elif margin == "distance":
        scores = cosines - means
    else:
        shape = np.broadcast_shapes(cosines.shape, means.shape)
        scores = np.full(shape, -np.inf)
        np.divide(cosines, means, out=scores, where=means > 0)
    return scores.astype(np.float32)


def best_neighbours(
    near: Neighbours, far: Neighbours, margin: Margin
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns for each row the neighbour with the best margin score, and that score.

    Of equal scores the nearer one counts.

    Args:
        near: the neighbours of the N rows.
        far: the neighbours of the rows of the other side.
        margin: see `margin_scores`.
    """
    near_means, far_means = (
        side.similarities.mean(axis=1, dtype=np.float64) for side in (near, far)
    )
    scores = margin_scores(
        near.similarities, near_means[:, None], far_means[near.neighbours], margin
    )
    best = scores.argmax(axis=1)[:, None]
    return (
        np.take_along_axis(near.neighbours, best, axis=1)[:, 0],
        np.take_along_axis(scores, best, axis=1)[:, 0],
    )
