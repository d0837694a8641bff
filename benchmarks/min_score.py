"""Which min_score gives a precision of 90 % when `labse mine` takes the shipped model?

Takes: pairs of a language and English (.parquet with lang, english and text) to plant, and others
whose two sides become lines without a translation. Gives: the bound by size, k and language, and
the formula of `labse.mining.start_score` fitted to them.
Source: Artetxe & Schwenk 2019 (arXiv 1811.01136), the margin; docs/mining.md has the result.

    python benchmarks/min_score.py --planted planted.parquet --others others.parquet deu fra swa
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse import SentenceEncoder
from labse.corpus.readers import read_pairs
from labse.errors import LabseError
from labse.mining.bitext import MiningOptions, select_pairs
from labse.rating.calibration import fit_precision
from labse.rating.ratings import Ratings
from labse.search.knn import mutual_neighbours

SIZES = (100, 300, 1_000, 3_000, 10_000)
KS = (2, 4, 8, 16)
SHARES = (0.1, 0.3)
PRECISION = 0.9
# Larger files, of which the bound was read off: 60,950 x 60,950 lines of German and English, 16,343
# x 43,050 of Swahili and English.
LARGE = ((60_950, 4, 1.15), (60_950, 4, 1.15), (16_343, 4, 1.30))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("langs", nargs="+")
    parser.add_argument("--planted", type=Path, nargs="+", required=True)
    parser.add_argument("--others", type=Path, nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    encoder = SentenceEncoder.from_pretrained()
    rows: list[tuple[str, int, int, float, float, float, float]] = []
    for lang in options.langs:
        planted = collect(options.planted, lang, generator)
        others = collect(options.others, lang, generator)
        half = len(others) // 2
        sides = [
            encoder.encode([pair[side] for pair in planted] + [pair[side] for pair in part])
            for side, part in ((0, others[:half]), (1, others[half:]))
        ]
        for size, share in itertools.product(SIZES, SHARES):
            num_planted = min(round(size * share), len(planted))
            num_others = size - num_planted
            if num_others > half or num_planted < 0.8 * min(size * share, 1000):
                continue
            for repeat in range(max(1, 300 // size)):
                first = (repeat * num_planted) % max(1, len(planted) - num_planted + 1)
                start = (repeat * num_others) % max(1, half - num_others + 1)
                index = np.r_[
                    first : first + num_planted,
                    len(planted) + start : len(planted) + start + num_others,
                ]
                source, target = (side[index] for side in sides)
                for k in KS:
                    found = mutual_neighbours(source, target, k)
                    mined = select_pairs(found, MiningOptions(k=k))
                    is_right = (mined.source == mined.target) & (mined.source < num_planted)
                    bound = find_bound(mined.scores, is_right)
                    above = mined.scores >= bound
                    recall = float(is_right[above].sum() / num_planted)
                    rows.append(
                        (
                            lang,
                            size,
                            k,
                            share,
                            bound,
                            recall,
                            float(is_right.mean()),
                        )
                    )
                    print("\t".join(map(str, rows[-1])), flush=True)
    print("base, size, k:", fit([(row[1], row[2], row[4]) for row in rows]))


def fit(rows: list[tuple[int, int, float]]) -> NDArray[np.float64]:
    """Returns base, size and k of `start_score` by least squares over lines, k and bound."""
    rows = [*rows, *LARGE, *LARGE]
    lines, k, bounds = np.array([row for row in rows if np.isfinite(row[2])]).T
    terms = np.stack([np.ones(len(lines)), np.log10(lines), np.log(k - 1)], axis=1)
    return np.linalg.lstsq(terms, np.log(bounds - 1), rcond=None)[0]


def collect(files: list[Path], lang: str, generator: np.random.Generator) -> list[tuple[str, str]]:
    """Returns distinct pairs of the language, in a random order: its text, then English."""
    pairs = {
        (pair.target, pair.source)
        for file in files
        for pair in read_pairs(file)
        if pair.target_lang == lang
    }
    # A sentence may stand in one pair only, or its copy would count as wrong.
    ordered = sorted(pairs)
    generator.shuffle(ordered)
    seen: set[str] = set()
    kept = []
    for text, english in ordered:
        if text not in seen and english not in seen and text.strip() and english.strip():
            seen |= {text, english}
            kept.append((text, english))
    return kept


def find_bound(scores: NDArray[np.float32], is_right: NDArray[np.bool_]) -> float:
    """Returns the least score from which up the precision holds; infinity if there is none."""
    try:
        return fit_precision(
            Ratings(scores.astype(np.float64), is_right), PRECISION, confidence=0.5
        ).min_score
    except LabseError:
        return float("inf")


if __name__ == "__main__":
    main()
