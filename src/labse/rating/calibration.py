"""Which `min_score` gives the precision that is wanted, or the best F1.

Takes: rated pairs (score, GOOD or BAD), or mined pairs and gold ones.
Gives: a `min_score` with confidence intervals, or an error that says why there is none.
Source: Feng et al., arXiv 2007.01852, section 3.1 (80 % of the kept pairs are rated GOOD);
Wilson 1927, interval of a share; Ayer et al. 1955, isotonic regression; Kish 1965, section 8.2, the
size of a weighted sample. An interval of a bound is the bounds that a test does not refuse.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from labse.errors import LabseError
from labse.files.atomic import read_json, write_atomic
from labse.rating.ratings import MinedRow, Ratings
from labse.runtime import require

__all__ = [
    "BestF1",
    "Interval",
    "PrecisionCurve",
    "PrecisionFit",
    "bound_interval",
    "fit_best_f1",
    "fit_precision",
    "num_ratings_needed",
    "plot_precision",
    "read_min_score",
    "smooth_precision",
    "wilson_interval",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    For a threshold `high` is infinite where it may not be reached at all, and `low` where it may
    lie below all scores that were rated.
    """

    low: float
    high: float

    def to_list(self) -> list[float | None]:
        """Returns both ends; an infinite one is None."""
        return [None if math.isinf(end) else end for end in (self.low, self.high)]


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionFit:
    """The smallest `min_score` with the wanted precision.

    Attributes:
        min_score: inclusive, the score of a rated pair.
        precision: precision of the rated pairs from this score up, smoothed (see `fit_precision`).
        precision_interval: Wilson's interval of the share of GOOD among them.
        min_score_interval: interval of `min_score`, see `bound_interval`.
        safe_min_score: its upper end; None if that is not reached.
        wanted_precision: what was asked for.
        num_kept: rated pairs with at least `min_score`.
        kept_share: the share of the file that is kept.
        kept_share_interval: Wilson's interval of it.
        num_skipped: pairs that were shown and not rated.
        thresholds: (T,) the distinct scores, ascending.
        precisions: (T,) smoothed precision from each of them up.
    """

    min_score: float
    precision: float
    precision_interval: Interval
    min_score_interval: Interval
    safe_min_score: float | None
    wanted_precision: float
    confidence: float
    num_kept: int
    kept_share: float
    kept_share_interval: Interval
    num_ratings: int
    num_skipped: int
    thresholds: NDArray[np.float64]
    precisions: NDArray[np.float64]

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object without the curve."""
        return {
            "min_score": self.min_score,
            "min_score_interval": self.min_score_interval.to_list(),
            "safe_min_score": self.safe_min_score,
            "wanted_precision": self.wanted_precision,
            "precision": self.precision,
            "precision_interval": self.precision_interval.to_list(),
            "confidence": self.confidence,
            "num_kept": self.num_kept,
            "kept_share": self.kept_share,
            "kept_share_interval": self.kept_share_interval.to_list(),
            "num_ratings": self.num_ratings,
            "num_skipped": self.num_skipped,
        }


@dataclass(frozen=True, slots=True)
class BestF1:
    """The `min_score` with the best F1 against gold, the higher one on a tie."""

    min_score: float
    precision: float
    recall: float
    f1: float
    precision_interval: Interval
    recall_interval: Interval
    confidence: float
    num_kept: int
    num_right: int
    num_mined: int
    num_gold: int

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object."""
        return {
            "min_score": self.min_score,
            "precision": self.precision,
            "precision_interval": self.precision_interval.to_list(),
            "recall": self.recall,
            "recall_interval": self.recall_interval.to_list(),
            "f1": self.f1,
            "confidence": self.confidence,
            "num_kept": self.num_kept,
            "num_right": self.num_right,
            "num_mined": self.num_mined,
            "num_gold": self.num_gold,
        }


def read_min_score(path: str | Path) -> float:
    """Returns the `min_score` that `labse calibrate` wrote as JSON.

    Raises:
        LabseError: the file cannot be read or has none.
    """
    value = read_json(path).get("min_score")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LabseError(f"{path}: no min_score in it; labse calibrate --out writes one")
    return float(value)


def wilson_interval(right: float, total: float, confidence: float = 0.95) -> Interval:
    """Returns the interval of Wilson (1927) for a share; (0, 1) of nothing."""
    if not total:
        return Interval(0.0, 1.0)
    z = _quantile(confidence)
    share = right / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(max(share * (1 - share), 0) / total + z * z / (4 * total**2))
    scale = 1 + z * z / total
    return Interval(max((centre - spread) / scale, 0.0), min((centre + spread) / scale, 1.0))


def num_ratings_needed(precision: float, confidence: float = 0.95) -> int:
    """Returns how many ratings could show this precision at all, were every one GOOD.

    Wilson's low end of n out of n is n / (n + z^2): 16 ratings for 0.8, 35 for 0.9, 73 for 0.95.
    """
    return math.ceil(precision / (1 - precision) * _quantile(confidence) ** 2)


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


# ---- a wanted precision ----------------------------------------------------------------------


def fit_precision(
    ratings: Ratings, precision: float = 0.8, *, confidence: float = 0.95
) -> PrecisionFit:
    """Finds the smallest `min_score` from which up the rated pairs have the wanted precision.

    The precision of the rated pairs jumps up and down with single ratings. So the share of GOOD is
    first made a function that never falls with the score (isotonic regression). The precision from
    a score up is the mean of that function: it never falls either, and wherever the function steps
    it equals the precision of the rated pairs.

    Args:
        ratings: ratings of pairs drawn at one rate from all scores, or with weights, as `labse
            rate` draws them.
        precision: the wanted share of GOOD, below 1.

    Raises:
        ValueError: a share outside 0 to 1. LabseError: too few ratings to say, or not reached.
    """
    for name, value in (("precision", precision), ("confidence", confidence)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be between 0 and 1, not {value}")
    total, needed = len(ratings.scores), num_ratings_needed(precision, confidence)
    if total < needed:
        raise LabseError(
            f"{total} rated so far, too few to tell a precision of {precision:.0%}: {needed} could "
            "show it if all were GOOD; rate more pairs"
        )
    curve = smooth_precision(ratings)
    thresholds, precisions = curve.thresholds, curve.precisions
    place = int(np.searchsorted(precisions, precision - 1e-12))
    if place == len(thresholds):
        raise LabseError(
            f"no min_score reaches a precision of {precision:.0%}: of the {curve.num_kept[-1]} "
            f"pairs rated with the best score, {thresholds[-1]:g}, {precisions[-1]:.0%} are GOOD"
        )
    if curve.num_kept[place] < needed:
        raise LabseError(
            f"a precision of {precision:.0%} is reached from {thresholds[place]:g} up, where only "
            f"{curve.num_kept[place]} pairs are rated; {needed} are needed to say so: rate more "
            "pairs there"
        )

    min_score = float(thresholds[place])
    interval = bound_interval(curve, precision, confidence)
    weights = np.ones(total) if ratings.weights is None else ratings.weights
    is_kept = ratings.scores >= min_score
    share = float((ratings.is_good[is_kept] * weights[is_kept]).sum() / weights[is_kept].sum())
    kept_share = float(weights[is_kept].sum() / weights.sum())
    size, whole_size = float(curve.sizes[place]), float(curve.sizes[0])
    return PrecisionFit(
        min_score=min_score,
        precision=float(precisions[place]),
        precision_interval=wilson_interval(share * size, size, confidence),
        min_score_interval=interval,
        safe_min_score=None if math.isinf(interval.high) else interval.high,
        wanted_precision=precision,
        confidence=confidence,
        num_kept=int(curve.num_kept[place]),
        kept_share=kept_share,
        kept_share_interval=wilson_interval(kept_share * whole_size, whole_size, confidence),
        num_ratings=total,
        num_skipped=ratings.num_skipped,
        thresholds=thresholds,
        precisions=precisions,
    )


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionCurve:
    """What ratings say of all bounds.

    Attributes:
        thresholds: (T,) the distinct scores, ascending.
        precisions: (T,) smoothed precision from each of them up.
        num_kept: (T,) ratings there.
        sizes: (T,) how many even ratings tell as much; fewer than `num_kept` where weights differ.
    """

    thresholds: NDArray[np.float64]
    precisions: NDArray[np.float64]
    num_kept: NDArray[np.int64]
    sizes: NDArray[np.float64]


def smooth_precision(ratings: Ratings) -> PrecisionCurve:
    """Returns the precision from each score up, made a function that never falls."""
    scores, is_good = ratings.scores, ratings.is_good
    weights = np.ones(len(scores)) if ratings.weights is None else ratings.weights
    thresholds, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    totals = np.bincount(places, weights, len(thresholds)).astype(np.float64)
    good = np.bincount(places, is_good * weights, len(thresholds)).astype(np.float64)
    fitted = _isotonic(good / totals, totals)

    kept = _from_each_up(totals)
    precisions = _from_each_up(fitted * totals) / kept
    sizes = kept**2 / _from_each_up(np.bincount(places, weights**2, len(thresholds)))
    return PrecisionCurve(
        thresholds,
        np.maximum.accumulate(precisions),  # A mean of what never falls never falls; sums round.
        counts[::-1].cumsum()[::-1],
        sizes,
    )


def bound_interval(curve: PrecisionCurve, precision: float, confidence: float) -> Interval:
    """Returns the bounds that are not refused by a test of their precision.

    A bound is refused as too low where Wilson's interval of the smoothed precision lies below the
    wanted one, and as too high from where it lies at or above it, since precision rises with the
    score. Many bounds are tested, so each test may err half as often. How often
    the true bound is inside: benchmarks/calibration.py, docs/experiments.md.
    """
    level = (1 + confidence) / 2
    ends = [
        wilson_interval(share * size, size, level)
        for share, size in zip(curve.precisions.tolist(), curve.sizes.tolist(), strict=True)
    ]
    thresholds = curve.thresholds.tolist()
    too_low = [place for place, end in enumerate(ends) if end.high < precision]
    enough = [place for place, end in enumerate(ends) if end.low >= precision]
    high = thresholds[enough[0]] if enough else math.inf
    if not too_low:
        return Interval(-math.inf, high)
    first = too_low[-1] + 1
    return Interval(thresholds[first] if first < len(thresholds) else thresholds[-1], high)


def _from_each_up(values: NDArray[np.generic]) -> NDArray[np.float64]:
    return values[::-1].cumsum()[::-1].astype(np.float64)


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pools neighbours that fall until none does (pool adjacent violators)."""
    pools: list[list[float]] = []  # Sum, weight, number of values.
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value * weight, weight, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    return np.repeat([pool[0] / pool[1] for pool in pools], [int(pool[2]) for pool in pools])


def plot_precision(fit: PrecisionFit, out: Path) -> None:
    """Draws the smoothed precision, the wanted one, and the threshold with its interval.

    Raises:
        ResourceError: matplotlib is not installed, or `out` cannot be written.
    """
    figure = require("matplotlib.figure", "plot").Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.step(fit.thresholds, fit.precisions, where="pre", label="precision from here up")
    axes.axhline(fit.wanted_precision, color="grey", linestyle="--", label="wanted")
    axes.axvline(fit.min_score, color="black", label=f"min_score {fit.min_score:.4f}")
    interval = fit.min_score_interval
    low = max(interval.low, float(fit.thresholds[0]))
    high = min(interval.high, float(fit.thresholds[-1]))
    axes.axvspan(low, high, alpha=0.15, label="its interval")
    axes.set_xlabel("min_score")
    axes.set_ylabel("share of GOOD")
    axes.grid(alpha=0.3)
    axes.legend()
    with write_atomic(out) as stream:
        figure.savefig(stream, format="png", dpi=120)


# ---- gold pairs ------------------------------------------------------------------------------


def fit_best_f1(
    mined: Iterable[MinedRow], gold: Collection[tuple[str, str]], *, confidence: float = 0.95
) -> BestF1:
    """Finds the `min_score` with the best F1; a pair mined twice counts once, at its best score.

    Raises:
        LabseError: no pair was mined, or none of them is gold.
    """
    best: dict[tuple[str, str], float] = {}
    for row in mined:
        pair = (row.source, row.target)
        best[pair] = max(row.score, best.get(pair, -math.inf))
    if not any(pair in gold for pair in best):
        raise LabseError(
            f"none of the {len(best)} mined pairs is among the {len(gold)} gold pairs; both must "
            "hold the same texts, letter by letter"
        )
    scores = np.fromiter(best.values(), np.float64, len(best))
    is_right = np.fromiter((pair in gold for pair in best), np.bool_, len(best))
    thresholds, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    right = np.bincount(places, weights=is_right, minlength=len(thresholds))
    kept, right = counts[::-1].cumsum(), right[::-1].cumsum()  # From the best score down.
    place = int(np.argmax(2 * right / (kept + len(gold))))
    num_kept, num_right = int(kept[place]), int(right[place])
    return BestF1(
        min_score=float(thresholds[::-1][place]),
        precision=num_right / num_kept,
        recall=num_right / len(gold),
        f1=2 * num_right / (num_kept + len(gold)),
        precision_interval=wilson_interval(num_right, num_kept, confidence),
        recall_interval=wilson_interval(num_right, len(gold), confidence),
        confidence=confidence,
        num_kept=num_kept,
        num_right=num_right,
        num_mined=len(best),
        num_gold=len(gold),
    )
