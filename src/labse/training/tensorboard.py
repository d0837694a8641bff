"""The metrics of a run for TensorBoard, beside the record in metrics.jsonl.

Takes: rows of metrics. Gives: event files in a folder, each number under its name.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labse.runtime import require

__all__ = ["open_tensorboard"]


@contextlib.contextmanager
def open_tensorboard(folder: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Gives a function that writes a row; `step` is its place, every other number a curve.

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
