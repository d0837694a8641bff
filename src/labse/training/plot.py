"""Curves of a run as a picture."""

from collections.abc import Sequence
from pathlib import Path

from labse.errors import LabseError
from labse.files import write_atomic
from labse.runtime import require
from labse.training.metrics import read_metrics

__all__ = ["plot_metrics"]

_NOT_PLOTTED = {"step", "lr", "grad_norm", "false_negatives", "pairs_per_second"}


def plot_metrics(metrics: Path, out: Path) -> None:
    """Writes a PNG: the loss above, every retrieval measure below, over steps.

    Raises:
        LabseError: no such file, or nothing in it yet.
        ResourceError: matplotlib is not installed.
    """
    rows = read_metrics(metrics)
    names = sorted({name for row in rows for name in row} - _NOT_PLOTTED - {"loss"})
    if not any("loss" in row for row in rows):
        raise LabseError(f"{metrics}: holds no row with a loss; let the run log a few steps first")

    figure = require("matplotlib.figure", "train").Figure(figsize=(8, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(*_curve(rows, "loss"))
    upper.set_ylabel("loss (both directions summed)")
    for name in names:
        lower.plot(*_curve(rows, name), marker="." if name != "in_batch_p_at_1" else "", label=name)
    lower.set_ylabel("P@1")
    lower.set_xlabel("step")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    if names:
        lower.legend()
    with write_atomic(out) as stream:
        figure.savefig(stream, format="png", dpi=120)


def _curve(rows: Sequence[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    points = [(row["step"], row[name]) for row in rows if name in row]
    return [step for step, _ in points], [value for _, value in points]
