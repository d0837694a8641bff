"""A bound for each language pair, drawn to that of all where a pair has few ratings.

Takes: ratings of several language pairs. Gives: a `min_score` with its interval for each.
Source: Gelman et al., "Bayesian Data Analysis", 5.1: a beta prior whose strength is that of the
differences between groups, by the method of moments.
"""

import math
from dataclasses import dataclass

import numpy as np

from labse.rating.calibration import (
    Interval,
    PrecisionCurve,
    PrecisionFit,
    bound_interval,
    smooth_precision,
)
from labse.rating.ratings import Ratings

__all__ = ["LangPairBound", "fit_by_lang_pair", "prior_strength"]

# With more, intervals of single pairs held the true bound in 73 to 84 of 100 draws, since what 200
# ratings say of differences is little; with 20 in 95 to 97 (docs/experiments.md).
_LEAST_STRENGTH, _MOST_STRENGTH = 5.0, 20.0


@dataclass(frozen=True, slots=True)
class LangPairBound:
    """The bound of one language pair.

    Attributes:
        lang_pair: such as `de-en`; empty: ratings whose row does not tell.
        num_ratings: of this pair.
        good_share: of its ratings.
        min_score: smallest score from which up the wanted share is GOOD; None if none is.
        min_score_interval: see `bound_interval`.
        kept_share: the share of the pairs of this language pair that is kept; 0 without a bound.
    """

    lang_pair: str
    num_ratings: int
    good_share: float
    min_score: float | None
    min_score_interval: Interval
    kept_share: float

    def to_dict(self) -> dict[str, object]:
        """Returns a JSON object."""
        return {
            "num_ratings": self.num_ratings,
            "good_share": self.good_share,
            "min_score": self.min_score,
            "min_score_interval": self.min_score_interval.to_list(),
            "kept_share": self.kept_share,
        }


def fit_by_lang_pair(ratings: Ratings, fit: PrecisionFit) -> list[LangPairBound]:
    """Returns a bound for each language pair, most ratings first.

    From a score up, n ratings of a pair have the precision s, and those of all pairs p. The pair is
    given m ratings more of the precision p, where m is large if the pairs differ little.

    Args:
        ratings: with the language pair of each.
        fit: the bound of all.
    """
    tags = np.array(ratings.lang_pairs)
    pooled = smooth_precision(ratings)
    strength = prior_strength(ratings, fit.min_score)
    found = []
    for tag in sorted({*ratings.lang_pairs}):
        own = ratings.take(tags == tag)
        curve = _draw_to(smooth_precision(own), pooled, strength)
        place = int(np.searchsorted(curve.precisions, fit.wanted_precision - 1e-12))
        is_reached = place < len(curve.thresholds)
        bound = float(curve.thresholds[place]) if is_reached else math.inf
        weights = np.ones(len(own.scores)) if own.weights is None else own.weights
        found.append(
            LangPairBound(
                lang_pair=tag,
                num_ratings=len(own.scores),
                good_share=float((own.is_good * weights).sum() / weights.sum()),
                min_score=bound if is_reached else None,
                min_score_interval=bound_interval(curve, fit.wanted_precision, fit.confidence),
                kept_share=float(weights[own.scores >= bound].sum() / weights.sum()),
            )
        )
    return sorted(found, key=lambda bound: (-bound.num_ratings, bound.lang_pair))


def prior_strength(ratings: Ratings, min_score: float) -> float:
    """Returns how many ratings the pooled precision counts for a language pair, 5 to 20.

    m = p (1 - p) / tau^2 - 1, where tau^2 is what the shares of the language pairs differ by beyond
    chance among the ratings from `min_score` up.
    """
    is_kept = ratings.scores >= min_score
    tags = np.array(ratings.lang_pairs)[is_kept]
    is_good = ratings.is_good[is_kept].astype(np.float64)
    _, places, counts = np.unique(tags, return_inverse=True, return_counts=True)
    total = float(len(tags))
    shares = np.bincount(places, is_good) / counts
    share = float(is_good.mean())
    spread = float((counts * (shares - share) ** 2).sum())
    chance = (len(counts) - 1) * share * (1 - share)
    scale = total - float((counts**2).sum()) / total
    variance = (spread - chance) / scale if scale else 0.0
    if variance <= 0:
        return _MOST_STRENGTH
    return float(np.clip(share * (1 - share) / variance - 1, _LEAST_STRENGTH, _MOST_STRENGTH))


def _draw_to(own: PrecisionCurve, pooled: PrecisionCurve, strength: float) -> PrecisionCurve:
    """Returns the curve of one language pair with `strength` ratings of the pooled one added."""
    places = np.searchsorted(pooled.thresholds, own.thresholds)
    prior = pooled.precisions[places]
    sizes = own.sizes + strength
    precisions = (own.precisions * own.sizes + prior * strength) / sizes
    return PrecisionCurve(own.thresholds, np.maximum.accumulate(precisions), own.num_kept, sizes)
