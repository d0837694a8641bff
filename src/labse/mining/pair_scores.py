"""Scores of pairs that are aligned already, line by line.

Takes: two embedded sides of N lines each. Gives: N cosines and N margin scores, in their order.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), section 4.3: filtering a noisy parallel corpus.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.mining.bitext import neighbourhood_means
from labse.mining.margin import Margin, margin_scores
from labse.mining.workplace import EmbeddedSide
from labse.search.knn import MutualNeighbours
from labse.search.sides import release

__all__ = ["aligned_cosines", "aligned_margins", "check_aligned"]

_CHUNK_ROWS = 4096


def check_aligned(source: EmbeddedSide, target: EmbeddedSide) -> None:
    """Refuses sides that cannot be paired line by line.

    Raises:
        LabseError: unequal numbers of lines, or vectors of two widths.
    """
    num_source, num_target = len(source.lines.distinct), len(target.lines.distinct)
    if num_source != num_target:
        raise LabseError(
            f"the source has {num_source} lines and the target {num_target}; line i of one must be "
            "the translation of line i of the other"
        )
    widths = source.vectors.shape[1], target.vectors.shape[1]
    if len(source.lines) and len(target.lines) and widths[0] != widths[1]:
        raise LabseError(
            f"the source has {widths[0]} dimensions and the target {widths[1]}; embed both with "
            "the same model"
        )


def aligned_cosines(source: EmbeddedSide, target: EmbeddedSide) -> NDArray[np.float32]:
    """Returns (N,) cosines; a pair with a blank side has 0."""
    cosines = np.zeros(len(source.lines.distinct), np.float32)
    for lines in _pairs(source, target):
        left = np.asarray(source.vectors[source.lines.distinct[lines]], np.float64)
        right = np.asarray(target.vectors[target.lines.distinct[lines]], np.float64)
        norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        cosines[lines] = np.einsum("nd,nd->n", left, right) / norms
        for side in (source, target):
            release(side.vectors)
    return cosines


def aligned_margins(
    cosines: NDArray[np.float32],
    source: EmbeddedSide,
    target: EmbeddedSide,
    found: MutualNeighbours,
    margin: Margin,
) -> NDArray[np.float32]:
    """Returns (N,) margin scores; a pair with a blank side, or without a ratio, has 0.

    Args:
        cosines: (N,) of the pairs.
        source: the source side.
        target: the target side.
        found: neighbours among the distinct lines, so that copies are no neighbourhood.
        margin: see `margin_scores`.
    """
    scores = np.zeros(len(cosines), np.float32)
    source_means, target_means = map(neighbourhood_means, (found.forward, found.backward))
    for lines in _pairs(source, target):
        means = source_means[source.lines.distinct[lines]]
        other_means = target_means[target.lines.distinct[lines]]
        scores[lines] = margin_scores(cosines[lines], means, other_means, margin)
    scores[~np.isfinite(scores)] = 0
    return scores


def _pairs(source: EmbeddedSide, target: EmbeddedSide) -> Iterator[NDArray[np.int64]]:
    """Yields the numbers of lines of which neither side is blank, in chunks."""
    numbers = np.flatnonzero((source.lines.distinct >= 0) & (target.lines.distinct >= 0))
    return (numbers[start : start + _CHUNK_ROWS] for start in range(0, len(numbers), _CHUNK_ROWS))
