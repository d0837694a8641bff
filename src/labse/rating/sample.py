"""A sample of mined pairs to rate, spread over all scores.

Takes: what `labse mine` wrote, a seed. Gives: pairs in the order to rate.
Source: Feng et al., arXiv 2007.01852, section 3.1: people rate samples.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from labse.corpus.tables import ColumnNames
from labse.errors import LabseError
from labse.rating.ratings import MinedRow, read_mined

__all__ = ["Stratify", "draw_sample", "sample_order"]

Stratify: TypeAlias = Literal["even", "score"]

_NUM_STRATA = 10
_OUTLIERS = 1.0  # Percent at each end of the scores that make no stratum of their own.


def draw_sample(
    path: str | Path,
    count: int,
    *,
    seed: int,
    stratify: Stratify = "even",
    score: str = "score",
    columns: ColumnNames | None = None,
) -> list[MinedRow]:
    """Returns up to `count` pairs in the order to rate; a larger count only adds pairs at the end.

    Args:
        path: of a table, see `read_mined`.
        count: pairs.
        seed: of the sample and its order.
        stratify: "even": all pairs have the same chance. "score": each tenth of the range of scores
            is rated as often, so that the few pairs between the many bad and the many good ones,
            where a bound lies, are rated most; the ratings are weighted back.
        score: the column of scores.

    Raises:
        LabseError: the file is empty or a row of it is broken.
        ValueError: another way to stratify.
    """
    if stratify not in get_args(Stratify):
        raise ValueError(f"stratify must be one of {get_args(Stratify)}, not {stratify!r}")
    scores = np.array([row.score for row in read_mined(path, score, columns=columns)])
    if not len(scores):
        raise LabseError(f"{path}: empty; there is nothing to rate")
    strata = None if stratify == "even" else _strata_of_range(scores)
    order = sample_order(scores, seed=seed, strata=strata)[:count].tolist()
    wanted = set(order)
    mined = enumerate(read_mined(path, score, columns=columns))
    rows = {number: row for number, row in mined if number in wanted}
    if strata is None:
        return [rows[number] for number in order]
    sizes = np.bincount(strata)
    return [
        replace(
            rows[number],
            stratum=int(strata[number]) + 1,
            stratum_pairs=int(sizes[strata[number]]),
        )
        for number in order
    ]


def _strata_of_range(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns (N,) which tenth of the range each score is in; outliers are in the outer ones."""
    low, high = np.percentile(scores, [_OUTLIERS, 100 - _OUTLIERS])
    bounds = np.linspace(low, high, _NUM_STRATA + 1)[1:-1]
    places: NDArray[np.int64] = np.searchsorted(bounds, scores, side="right")
    return places


def sample_order(
    scores: NDArray[np.float64], *, seed: int, strata: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Returns the numbers of all rows in an order whose every beginning is spread over the scores.

    The rows are cut by score into ten strata of equal size; each round takes one row of each, in a
    new order. So every pair has the same chance to be rated, and the precision of the ratings
    estimates that of the file. With `strata`, (N,) the number of each row's, these are taken
    instead.
    """
    generator = np.random.default_rng(seed)
    if strata is None:
        num_strata = max(min(_NUM_STRATA, len(scores)), 1)
        parts = np.array_split(np.argsort(scores, kind="stable"), num_strata)
    else:
        parts = [np.flatnonzero(strata == number) for number in np.unique(strata)]
    parts = [generator.permutation(part) for part in parts]
    rounds = []
    for number in range(max(map(len, parts))):
        row = [int(part[number]) for part in parts if number < len(part)]
        rounds.extend(generator.permutation(np.array(row, np.int64)).tolist())
    return np.array(rounds, np.int64)
