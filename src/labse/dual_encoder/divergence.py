"""Runs that diverge or collapse.

When a loss, a gradient or a weight is not finite, the run stops; when all vectors of a batch are
nearly alike, a warning says so.

Takes: the loss, gradient and vectors of a step, or the weights after it. Gives: an error that names
the last checkpoint and, in a file, the rows of the batch; or a warning.
"""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.run_state import ADVICE
from labse.errors import LabseError
from labse.files.atomic import write_atomic
from labse.training.run_state import tell_last_checkpoint

__all__ = ["check_finite", "warn_of_collapse"]

_LOGGER = logging.getLogger(__name__)
_COLLAPSED_COSINE = 0.998  # Mean of a batch. Random weights start at 0.95 or below.


def check_finite(
    run_folder: Path,
    step: int,
    loss: float,
    grad_norm: float,
    pairs: TokenizedPairs,
    sides: NDArray[np.int64],
) -> None:
    """Stops a run before a gradient that is not finite reaches its weights and checkpoints.

    Writes `batch-of-step-N.jsonl`: for each pair of the batch, file and row of both sides.

    Args:
        run_folder: where that file goes.
        step: number of the update, from 1.
        loss: the loss of the batch.
        grad_norm: the norm of the gradient of all weights.
        pairs: the training data.
        sides: (B, 2) where the sentences of the batch stand (`Batch.sides`).

    Raises:
        LabseError: the loss or the norm is NaN or infinite.
    """
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    path = run_folder / f"batch-of-step-{step}.jsonl"
    sources, targets = ([asdict(origin) for origin in pairs.locate(side)] for side in sides.T)
    with write_atomic(path) as stream:
        for source, target in zip(sources, targets, strict=True):
            line = json.dumps({"source": source, "target": target}, ensure_ascii=False)
            stream.write(line.encode() + b"\n")
    raise LabseError(
        f"step {step}: the loss is {loss} and the norm of the gradient is {grad_norm}; "
        f"{path} tells the rows of its batch{tell_last_checkpoint(run_folder)}; {ADVICE}"
    )


def warn_of_collapse(row: Mapping[str, float]) -> bool:
    """Warns if all vectors of a batch are nearly alike; returns whether it did.

    Such a model cannot tell one sentence from another, its gradient is small, and its loss stays
    at that of guessing.

    Args:
        row: metrics of a step; those of an evaluation have no `mean_cosine`, and pass.
    """
    if row.get("mean_cosine", 0.0) < _COLLAPSED_COSINE:
        return False
    _LOGGER.warning(
        "step %d: the vectors of the batch are alike (mean cosine %.4f), so nothing is learnt and "
        "the loss stays that of guessing; unless the sentences are the same, start from a trained "
        'model, or try model.pooling = "mean" or a lower train.lr',
        row["step"],
        row["mean_cosine"],
    )
    return True
