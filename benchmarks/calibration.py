"""How often the interval that `labse calibrate` prints holds the true bound.

    python benchmarks/calibration.py RATINGS.parquet [--draws 100] [--ratings 200]

A population is all ratings of rounds v6 and v7; its bound, by the same smoothing, is the truth.
Samples are drawn from it as `labse rate` draws them. A sample from which no bound is printed has no
interval either; how many there are is told.
"""

import argparse
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from quality import Rated, read_rated

from labse import LabseError, SentenceEncoder
from labse.mining.quality import load_pair_quality
from labse.rating.by_lang_pair import fit_by_lang_pair
from labse.rating.calibration import fit_precision, smooth_precision
from labse.rating.ratings import Ratings
from labse.rating.sample import sample_order

WANTED = (("V+F", 0.5), ("V+F+MT", 0.7), ("V+F+MT", 0.8), ("not A, not L", 0.8),
          ("not A, not L", 0.9))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ratings", type=Path)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--ratings", dest="size", type=int, default=200)
    arguments = parser.parse_args()
    rated = read_rated(arguments.ratings, SentenceEncoder.from_pretrained())
    rows = np.flatnonzero(np.isin(rated.rounds, ["v6", "v7"]))
    scores = {
        "quality": load_pair_quality().model.score(rated.columns).astype(np.float64)[rows],
        "bicleaner": rated.others["bicleaner"][rows],
        "margin": rated.others["margin, k = 4"][rows],
    }
    print("score, good, wanted: true bound, share kept; inside, refused; by language pair: inside")
    for name, values in scores.items():
        for good, precision in WANTED:
            whole = population(rated, rows, values, good)
            print(name, good, precision, *cover(whole, precision, arguments), sep="\t")


def population(
    rated: Rated, rows: NDArray[np.int64], scores: NDArray[np.float64], good: str
) -> Ratings:
    return Ratings(scores, rated.good[good][rows], lang_pairs=tuple(rated.langs[rows].tolist()))


def cover(whole: Ratings, precision: float, arguments: argparse.Namespace) -> tuple[str, ...]:
    """Returns the true bound, the share kept, and how often intervals hold it."""
    truth = true_bound(whole, precision)
    tags = np.array(whole.lang_pairs)
    truths = {
        tag: true_bound(whole.take(tags == tag), precision) for tag in sorted({*whole.lang_pairs})
    }
    num_inside = num_printed = num_pair_inside = num_pairs = 0
    for seed in range(arguments.draws):
        sample = whole.take(sample_order(whole.scores, seed=seed)[: arguments.size])
        try:
            fit = fit_precision(sample, precision)
        except LabseError:
            continue
        num_printed += 1
        interval = fit.min_score_interval
        num_inside += interval.low <= truth <= interval.high
        for bound in fit_by_lang_pair(sample, fit):
            interval = bound.min_score_interval
            num_pairs += 1
            num_pair_inside += interval.low <= truths[bound.lang_pair] <= interval.high
    kept = float((whole.scores >= truth).mean())
    refused = arguments.draws - num_printed
    share = num_pair_inside / num_pairs if num_pairs else math.nan
    return (f"{truth:.3f}", f"{kept:.2f}", f"{num_inside} of {num_printed}", f"{refused}",
            f"{share:.3f}")  # fmt: skip


def true_bound(whole: Ratings, precision: float) -> float:
    curve = smooth_precision(whole)
    place = int(np.searchsorted(curve.precisions, precision - 1e-12))
    return float(curve.thresholds[place]) if place < len(curve.thresholds) else math.inf


if __name__ == "__main__":
    main()
