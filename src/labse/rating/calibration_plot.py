"""The precision of rated pairs over `min_score` as a picture.

Takes: a fit. Gives: a PNG. Source: matplotlib, in the extra `train`.
"""

from pathlib import Path

from labse.files.atomic import write_atomic
from labse.rating.calibration import PrecisionFit
from labse.runtime import require

__all__ = ["plot_precision"]


def plot_precision(fit: PrecisionFit, wanted: float, out: Path) -> None:
    """Draws the smoothed precision, the wanted one, and the threshold with its interval.

    Raises:
        ResourceError: matplotlib is not installed, or `out` cannot be written.
    """
    figure = require("matplotlib.figure", "train").Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.step(fit.thresholds, fit.precisions, where="pre", label="precision from here up")
    axes.axhline(wanted, color="grey", linestyle="--", label="wanted")
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
