"""Is one system better than another, or was it the choice of test items?

Takes: the samples of two systems on the same items. Gives: the difference of their scores and its
confidence interval by paired bootstrap.
Source: Koehn 2004 (W04-3250), section 4; Efron & Tibshirani 1993, chapter 13, percentile interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labse.evaluation.samples import Sample, Statistic

__all__ = ["Difference", "paired_bootstrap", "score_samples", "spearman"]

_CHUNK_RESAMPLES = 250  # Bounds memory: weights of 250 x 10^5 items are 200 MB.


@dataclass(frozen=True, slots=True)
class Difference:
    """Score of the second system minus that of the first, with its confidence interval."""

    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first

    @property
    def is_significant(self) -> bool:
        """The interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    first: Sequence[Sample],
    second: Sequence[Sample],
    *,
    num_resamples: int,
    level: float,
    generator: np.random.Generator,
) -> Difference:
    """Compares the mean score over samples (languages), each counting the same.

    Every resample draws, within each sample, as many items as it has, with replacement; the
    same items for both systems.

    Args:
        first: of one system.
        second: of the other, on the same items in the same order.
        num_resamples: 1,000 settle the second digit of an interval, 10,000 the third.
        level: such as 0.95.
        generator: chooses the items.

    Raises:
        ValueError: samples that do not pair, or options out of range.
    """
    if not first or [s.digest for s in first] != [s.digest for s in second]:
        raise ValueError("the samples of the two systems are not of the same items")
    if num_resamples < 1 or not 0 < level < 1:
        raise ValueError(f"num_resamples is {num_resamples}, level is {level}")

    differences = np.zeros(num_resamples)
    for ours, theirs in zip(first, second, strict=True):
        differences += _resample_difference(ours, theirs, num_resamples, generator) / len(first)
    tail = (1 - level) / 2
    low, high = np.quantile(differences, (tail, 1 - tail))
    return Difference(score_samples(first), score_samples(second), float(low), float(high))


def score_samples(samples: Sequence[Sample]) -> float:
    """Returns the mean score of samples, each counting the same."""
    scores = []
    for sample in samples:
        once = np.ones((1, len(sample.values)), dtype=np.int64)
        scores.append(_STATISTICS[sample.statistic](sample.values, once)[0])
    return float(np.mean(scores))


def spearman(similarities: NDArray[np.floating], judgements: NDArray[np.floating]) -> float:
    """Returns the rank correlation of two rows of N numbers, equal ones sharing their mean rank.

    Zero if either is constant: an order that says nothing.
    """
    ranks = [_rank(np.asarray(row)) for row in (similarities, judgements)]
    deviations = [row - row.mean() for row in ranks]
    norm = np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum())
    return float(deviations[0] @ deviations[1] / norm) if norm > 0 else 0.0


def _resample_difference(
    first: Sample, second: Sample, num_resamples: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draws how often each distinct outcome comes, which is far less than drawing items."""
    width = first.values.shape[1]
    joint = np.concatenate([first.values, second.values], axis=1)
    rows, counts = np.unique(joint, axis=0, return_counts=True)
    statistic = _STATISTICS[first.statistic]
    chunks = []
    for start in range(0, num_resamples, _CHUNK_RESAMPLES):
        size = min(_CHUNK_RESAMPLES, num_resamples - start)
        drawn = generator.multinomial(len(joint), counts / len(joint), size=size)
        chunks.append(statistic(rows[:, width:], drawn) - statistic(rows[:, :width], drawn))
    return np.concatenate(chunks)


def _mean(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, C) values and (R, N) counts -> (R,) scores; likewise below."""
    sums: NDArray[np.float64] = counts @ values.astype(np.float64).mean(axis=1)
    means: NDArray[np.float64] = sums / counts.sum(axis=1)
    return means


def _f1(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    right, found, gold = (counts @ values.astype(np.float64)).T
    total = found + gold
    f1: NDArray[np.float64] = np.zeros_like(total)
    np.divide(2 * right, total, out=f1, where=total > 0)
    return f1


def _spearman(values: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    scores = []
    for times in counts:
        drawn = np.repeat(values, times, axis=0)
        scores.append(spearman(drawn[:, 0], drawn[:, 1]))
    return np.array(scores)


def _rank(row: NDArray[np.floating]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_ranks: NDArray[np.float64] = last - (counts - 1) / 2
    return mean_ranks[inverse]


_STATISTICS: dict[
    Statistic, Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float64]]
] = {"mean": _mean, "f1": _f1, "spearman": _spearman}
