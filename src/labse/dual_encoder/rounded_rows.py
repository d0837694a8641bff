"""Training on word rows as they will be stored: in 4 bits, with gradients as if they were not.

Dimensions: H hidden.
Source: the straight-through estimator, Bengio et al. 2013, arXiv 1308.3432.
"""

import torch
from torch import Tensor

from labse.model_folder.int4 import LEVELS
from labse.network.dual_encoder import DualEncoder

__all__ = ["round_rows", "set_rounding"]


def round_rows(rows: Tensor) -> Tensor:
    """Returns rows (..., H) at their nearest levels; the gradient is that of the identity."""
    levels = torch.from_numpy(LEVELS).to(rows)
    with torch.no_grad():
        scales = rows.square().mean(-1, keepdim=True).sqrt_().clamp_min_(torch.finfo().tiny)
        codes = torch.bucketize(rows / scales, (levels[1:] + levels[:-1]) / 2)
        lost = levels[codes].mul_(scales).sub_(rows)
    return rows + lost


def set_rounding(model: DualEncoder, *, is_on: bool) -> None:
    """Lets `model` see its word rows rounded, n-grams included, or as they are."""
    model.bert.embeddings.round_rows = round_rows if is_on else None
