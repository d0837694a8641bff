"""The end of a run whose numbers are none: which batch it was, and what is left.

Takes: the loss and gradient of a step. Gives: an error, and a file with the rows of the batch.
"""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.pairs import TokenizedPairs
from labse.errors import LabseError
from labse.files import write_atomic

__all__ = ["check_finite"]


def check_finite(
    run_folder: Path,
    step: int,
    numbers: tuple[float, float],
    pairs: TokenizedPairs,
    cells: NDArray[np.int64],
) -> None:
    """Stops a run before numbers that are none reach its weights and checkpoints.

    Writes `batch-of-step-N.jsonl`: for each pair of the batch, file and row of both sides.

    Args:
        run_folder: where that file goes.
        step: from 1.
        numbers: the loss and the norm of the gradient.
        pairs: the training data.
        cells: (B, 2) of the batch, as `PairSampler.cells` gives them.

    Raises:
        LabseError: one of the numbers is NaN or infinite.
    """
    loss, grad_norm = numbers
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    path = run_folder / f"batch-of-step-{step}.jsonl"
    sides = [[asdict(origin) for origin in pairs.locate(side)] for side in cells.T]
    with write_atomic(path) as stream:
        for source, target in zip(*sides, strict=True):
            line = json.dumps({"source": source, "target": target}, ensure_ascii=False)
            stream.write(line.encode() + b"\n")
    kept = sorted((run_folder / "checkpoints").glob("step-[0-9]*"))
    left = f"; the last checkpoint is {kept[-1]}" if kept else ""
    raise LabseError(
        f"step {step}: the loss is {loss} and the norm of the gradient is {grad_norm}; "
        f"{path} tells the rows of its batch{left}; "
        "start anew in another --out with a lower train.lr or train.embedding_lr"
    )
