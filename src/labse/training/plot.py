"""Curves of a run as a picture.

Takes: metrics.jsonl. Gives: a PNG with a panel for each kind of measure, stages marked.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from labse.errors import LabseError, UsageError
from labse.files.atomic import write_atomic
from labse.files.object_store import find_url
from labse.runtime import require
from labse.training.metrics import read_metrics

__all__ = ["find_runs", "plot_metrics"]

# A measure belongs to the panel that its name ends in; times and rates belong to none.
_PANELS = {"loss": "loss", "p_at_1": "P@1", "accuracy": "accuracy", "perplexity": "perplexity"}
_EVERY_STEP = ("loss", "accuracy", "in_batch_p_at_1")  # Means over steps; others are of a moment.
_COLOURS = {"mlm": "C1", "tlm": "C2"}  # The same in each panel; others take their turn.
_MAX_LABELS = 12

_METRICS_NAME = "metrics.jsonl"

Row = dict[str, float]


def find_runs(folder: Path) -> list[Path]:
    """Returns the folder if it is that of a run, else those of all runs below it, sorted.

    Raises:
        LabseError: there is none.
        UsageError: an address, for the picture is drawn beside what is on a disk.
    """
    if url := find_url(folder):
        raise UsageError(f"{url}: runs are read from a disk; copy the folder there")
    if (folder / _METRICS_NAME).exists() or not folder.is_dir():
        return [folder]
    found = sorted(path.parent for path in folder.rglob(_METRICS_NAME))
    if not found:
        raise LabseError(f"{folder}: no run in it or below; give a folder of labse train")
    return found


def plot_metrics(metrics: Path, out: Path) -> None:
    """Writes a PNG of loss, P@1, accuracy and perplexity over steps, as far as the run has them.

    Where layers are stacked, a line and the new number of layers say so. Measures of a language
    (`mlm_deu_accuracy`) are thin lines in the colour of their objective.

    Raises:
        LabseError: no such file, or nothing in it yet.
        ResourceError: matplotlib is not installed.
    """
    # Which measures the run has, by panel.
    rows = read_metrics(metrics)
    if not any("loss" in row for row in rows):
        raise LabseError(f"{metrics}: holds no row with a loss; let the run log a few steps first")
    names = sorted({name for row in rows for name in row})
    panels = {end: [name for name in names if name.endswith(end)] for end in _PANELS}
    panels = {end: found for end, found in panels.items() if found}

    # A panel for each kind, with a line where layers were stacked.
    figure = require("matplotlib.figure", "plot").Figure(
        figsize=(8, 1 + 3 * len(panels)), layout="constrained"
    )
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for panel, (end, found) in zip(axes, panels.items(), strict=True):
        _draw(panel, rows, found)
        panel.set_ylabel(_PANELS[end])
        if end == "perplexity":
            panel.set_yscale("log")
        for step, _ in _growths(rows):
            panel.axvline(step, color="grey", linestyle="--", linewidth=1)
    for step, num_layers in _growths(rows):
        _write_above(axes[0], step, f" {num_layers:.0f} layers")
    axes[-1].set_xlabel("step")
    figure.suptitle(f"Run {metrics.absolute().parent.name}")
    with write_atomic(out) as stream:
        figure.savefig(stream, format="png", dpi=120)


def _draw(panel: Any, rows: Sequence[Row], names: Sequence[str]) -> None:  # noqa: ANN401
    """Draws the measures of a panel; those of a single language have no label."""
    of_all = [name for name in names if not _is_of_a_language(name)]
    for name in names:
        colour = _COLOURS.get(name.partition("_")[0])
        if name in of_all:
            marker = "" if name in _EVERY_STEP else "."
            panel.plot(*_curve(rows, name), color=colour, marker=marker, label=name)
        else:
            panel.plot(*_curve(rows, name), color=colour, linewidth=0.5, alpha=0.4)
    panel.grid(alpha=0.3)
    if 0 < len(of_all) <= _MAX_LABELS:
        panel.legend()


def _is_of_a_language(name: str) -> bool:
    """Tells `mlm_deu_accuracy` from `mlm_accuracy`."""
    objective, _, rest = name.partition("_")
    return objective in _COLOURS and "_" in rest


def _growths(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Returns the last step before each change of `num_layers`, and the new number."""
    stages = [row for row in rows if "num_layers" in row]
    return [
        (before["step"], after["num_layers"])
        for before, after in pairwise(stages)
        if before["num_layers"] != after["num_layers"]
    ]


def _write_above(panel: Any, step: float, text: str) -> None:  # noqa: ANN401
    panel.text(step, 1.01, text, transform=panel.get_xaxis_transform(), color="grey")


def _curve(rows: Sequence[Row], name: str) -> tuple[list[float], list[float]]:
    points = [(row["step"], row[name]) for row in rows if name in row]
    return [step for step, _ in points], [value for _, value in points]
