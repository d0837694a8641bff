"""Which `min_score` gives the precision that is wanted, or the best F1.

Takes: rated pairs (score, GOOD or BAD), or mined pairs and gold ones.
Gives: a `min_score` with confidence intervals, or an error that says why there is none.
Source: Feng et al., arXiv 2007.01852, section 3.1 (80 % of the kept pairs are rated GOOD);
Wilson 1927, interval of a share; Efron 1979, bootstrap; Ayer et al. 1955, isotonic regression.
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
from labse.rating.rating import MinedRow, Ratings
from labse.runtime import require

__all__ = [
    "BestF1",
    "Interval",
    "PrecisionFit",
    "fit_best_f1",
    "fit_precision",
    "num_ratings_needed",
    "plot_precision",
    "read_min_score",
    "wilson_interval",
]

_NUM_RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval; `high` is infinite for a threshold that may not be reached at all."""

    low: float
    high: float

    def to_list(self) -> list[float | None]:
        """Returns both ends; an infinite one is None."""
        return [self.low, None if math.isinf(self.high) else self.high]


@dataclass(frozen=True, slots=True, eq=False)
class PrecisionFit:
    """The smallest `min_score` with the wanted precision.

    Attributes:
        min_score: inclusive, the score of a rated pair.
        precision: precision of the rated pairs from this score up, smoothed (see `fit_precision`).
        precision_interval: Wilson's interval of the share of GOOD among them.
        min_score_interval: interval of `min_score` by a bootstrap over the ratings.
        safe_min_score: the smallest at which the interval's low end is as high as wanted; None if
            there is none.
        wanted_precision: what was asked for.
        num_kept: rated pairs with at least `min_score`.
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


def wilson_interval(right: float, total: int, confidence: float = 0.95) -> Interval:
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
    ratings: Ratings, precision: float = 0.8, *, confidence: float = 0.95, seed: int = 1
) -> PrecisionFit:
    """Finds the smallest `min_score` from which up the rated pairs have the wanted precision.

    The precision of the rated pairs jumps up and down with single ratings. So the share of GOOD is
    first made a function that never falls with the score (isotonic regression). The precision from
    a score up is the mean of that function: it never falls either, and wherever the function steps
    it equals the precision of the rated pairs.

    Args:
        ratings: ratings of pairs drawn at one rate from all scores, as `labse rate` draws them.
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
            f"{total} ratings are too few to tell a precision of {precision:.0%}: {needed} could "
            "show it if all were GOOD; rate more pairs"
        )
    thresholds, precisions, kept = _smooth(ratings.scores, ratings.is_good)
    place = int(np.searchsorted(precisions, precision - 1e-12))
    if place == len(thresholds):
        raise LabseError(
            f"no min_score reaches a precision of {precision:.0%}: of the {kept[-1]} pairs rated "
            f"with the best score, {thresholds[-1]:g}, {precisions[-1]:.0%} are GOOD"
        )
    if kept[place] < needed:
        raise LabseError(
            f"a precision of {precision:.0%} is reached from {thresholds[place]:g} up, where only "
            f"{kept[place]} pairs are rated; {needed} are needed to say so: rate more pairs there"
        )

    min_score = float(thresholds[place])
    num_good = int(ratings.is_good[ratings.scores >= min_score].sum())
    safe = next(
        (
            float(threshold)
            for threshold, share, count in zip(thresholds, precisions, kept.tolist(), strict=True)
            if wilson_interval(share * count, count, confidence).low >= precision
        ),
        None,
    )
    return PrecisionFit(
        min_score=min_score,
        precision=float(precisions[place]),
        precision_interval=wilson_interval(num_good, int(kept[place]), confidence),
        min_score_interval=_bootstrap(ratings, precision, confidence, seed),
        safe_min_score=safe,
        wanted_precision=precision,
        confidence=confidence,
        num_kept=int(kept[place]),
        num_ratings=total,
        num_skipped=ratings.num_skipped,
        thresholds=thresholds,
        precisions=precisions,
    )


def _smooth(
    scores: NDArray[np.float64], is_good: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Returns the distinct scores, the smoothed precision from each up, and the ratings there."""
    thresholds, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    good = np.bincount(places, weights=is_good, minlength=len(thresholds))
    fitted = _isotonic(good / counts, counts)
    kept = counts[::-1].cumsum()[::-1]
    precisions = (fitted * counts)[::-1].cumsum()[::-1] / kept
    # A mean of what never falls never falls; summing rounds.
    return thresholds, np.maximum.accumulate(precisions), kept


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Pools neighbours that fall until none does (pool adjacent violators)."""
    pools: list[list[float]] = []  # Sum, weight, number of values.
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append([value * weight, weight, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            last = pools.pop()
            pools[-1] = [a + b for a, b in zip(pools[-1], last, strict=True)]
    return np.repeat([pool[0] / pool[1] for pool in pools], [int(pool[2]) for pool in pools])


def _bootstrap(ratings: Ratings, precision: float, confidence: float, seed: int) -> Interval:
    generator = np.random.default_rng(seed)
    total = len(ratings.scores)
    found = []
    for _ in range(_NUM_RESAMPLES):
        drawn = generator.integers(total, size=total)
        thresholds, precisions, _ = _smooth(ratings.scores[drawn], ratings.is_good[drawn])
        place = int(np.searchsorted(precisions, precision - 1e-12))
        found.append(float(thresholds[place]) if place < len(thresholds) else math.inf)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(found, [tail, 100 - tail], method="nearest").tolist()
    return Interval(low, high)


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
    high = min(interval.high, float(fit.thresholds[-1]))
    axes.axvspan(interval.low, high, alpha=0.15, label="its interval")
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
