"""The metrics of a run: one JSON object a line in `metrics.jsonl`, and curves for TensorBoard."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labse.files.atomic import write_atomic
from labse.files.text import read_lines
from labse.runtime import require

__all__ = [
    "OnMetrics",
    "append_metrics",
    "open_metrics",
    "open_tensorboard",
    "read_metrics",
    "truncate_metrics",
]

OnMetrics = Callable[[Mapping[str, float]], None]


def append_metrics(path: Path, row: Mapping[str, float | str]) -> None:
    """Adds one line and flushes it to the disk."""
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(json.dumps(row) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def open_metrics(
    path: Path, first_step: int, on_metrics: OnMetrics | None, *, is_main: bool
) -> OnMetrics:
    """Returns what takes each row of metrics; the main process writes it and calls `on_metrics`.

    Rows after `first_step` are dropped, for a resumed run writes them again.
    """
    if not is_main:
        return lambda row: None
    truncate_metrics(path, first_step)

    def record(row: Mapping[str, float]) -> None:
        append_metrics(path, row)
        if on_metrics:
            on_metrics(row)

    return record


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Returns the rows; a last line cut short by a kill is left out."""
    rows: list[dict[str, float]] = []
    for line in read_lines(path):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not isinstance(row, dict) or "step" not in row:
            break
        rows.append(row)
    return rows


def truncate_metrics(path: Path, step: int) -> None:
    """Drops the rows after `step`, so that a resumed run writes them once."""
    if not path.exists():
        return
    kept = [row for row in read_metrics(path) if row["step"] <= step]
    with write_atomic(path) as stream:
        stream.writelines(json.dumps(row).encode() + b"\n" for row in kept)


@contextlib.contextmanager
def open_tensorboard(folder: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Gives a function that writes a row: `step` is the place, every other number is a curve.

    A run that goes on from a checkpoint says so, and TensorBoard then leaves out what stood there
    of later steps.

    Raises:
        ResourceError: tensorboard is not installed.
    """
    require("tensorboard", "track")
    from torch.utils.tensorboard import SummaryWriter

    writers: list[Any] = []

    def write(row: Mapping[str, float]) -> None:
        step = int(row["step"])
        if not writers:  # The first row tells where the run goes on.
            writers.append(SummaryWriter(str(folder), purge_step=step))
        for name, value in row.items():
            if name != "step":
                writers[0].add_scalar(name, value, step)
        writers[0].flush()  # A kill leaves no hole in the curve.

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()
