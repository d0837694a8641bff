"""Where a `min_score` may start for the shipped model, and scores that say nothing.

Takes: sizes and k. Gives: the ratio from which up about 90 % of the pairs are right.
Source: fitted by benchmarks/min_score.py on real text with planted pairs; docs/mining.md.
"""

import logging
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["start_score", "warn_of_strange_scores"]

_LOGGER = logging.getLogger(__name__)
# ln(bound - 1) = _BASE + _SIZE log10(lines) + _K ln(k - 1): small corpora have far neighbours, and
# so have many neighbours, so that a wrong pair has a higher ratio there.
_BASE, _SIZE, _K = -0.458, -0.388, 0.652
_SENSIBLE = 20.0


def start_score(num_source: int, num_target: int, k: int) -> float:
    """Returns a ratio to start from, for the model that comes with labse.

    The excess over 1 is right within a quarter, by text and language: weak languages need more.

    Args:
        num_source: distinct lines of the source.
        num_target: of the target.
        k: neighbours; with a single one no pair of best neighbours exceeds 1.
    """
    if k == 1:
        return 1.0
    smaller = max(min(num_source, num_target), 2)
    excess = math.exp(_BASE + _SIZE * math.log10(smaller) + _K * math.log(k - 1))
    return round(1 + excess, 2)


def warn_of_strange_scores(scores: NDArray[np.float32]) -> None:
    """Logs how many ratios are beyond sense: their lines are at right angles to all others."""
    if num_strange := int(np.count_nonzero(np.abs(scores) > _SENSIBLE)):
        _LOGGER.warning(
            "%s pairs have a score beyond %d, up to %.0f: their neighbours have cosines about 0, "
            "so the ratio says nothing; take --margin absolute, or more text",
            *(f"{num_strange:,}", int(_SENSIBLE), float(np.abs(scores).max())),
        )
