"""The loss of `loss.py` with one matrix in each pass and one exponential for both directions.

Dimensions: B pairs, D embedding.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["inplace_additive_margin_softmax", "is_in_range"]

_LEAST_EXPONENT = -80.0  # exp of it is a normal float32.


def is_in_range(logit_scale: float, logit_margin: float) -> bool:
    """Says whether the exponentials of all logits can be taken less one number, that of cosine 1.

    The paper's scale of 100 is too large: a row of cosines near 0 would sum to nothing.
    """
    return -logit_scale * (2 + logit_margin) >= _LEAST_EXPONENT


def inplace_additive_margin_softmax(
    source: Tensor,
    target: Tensor,
    *,
    logit_scale: float,
    logit_margin: float,
    gradient_dtype: torch.dtype | None = None,
) -> Tensor:
    """Equals `additive_margin_softmax`, in value and gradient, without masks and negatives.

    Both directions divide the same exponentials, one by the sums of rows, one by those of columns:

        e_ij = exp(scale * (phi(i, j) - 1))
        loss = 1/B sum_i (log sum_j e_ij + log sum_j e_ji) - 2 log e_ii
        d loss / d phi(i, j) = scale / B * (e_ij / sum_j e_ij + e_ij / sum_i e_ij - 2 [i = j])

    Args:
        source: (B, D) float32 or float64 unit rows.
        target: (B, D) unit rows of that type; row i translates row i of `source`.
        logit_scale: factor on cosines.
        logit_margin: subtracted from the cosine of each true pair.
        gradient_dtype: type of the two products of the backward pass, factors and results; None
            leaves them as the sides are.

    Raises:
        ValueError: the shapes differ, or `is_in_range` does not hold.
    """
    if source.shape != target.shape:
        raise ValueError(f"source is {tuple(source.shape)} and target {tuple(target.shape)}")
    if not is_in_range(logit_scale, logit_margin):
        raise ValueError(f"logit_scale {logit_scale} is too large for one shift of all logits")
    loss: Tensor = _Loss.apply(source, target, logit_scale, logit_margin, gradient_dtype)  # type: ignore[no-untyped-call]
    return loss


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own context has no public type.
        source_BD: Tensor,
        target_BD: Tensor,
        scale: float,
        margin: float,
        gradient_dtype: torch.dtype | None,
    ) -> Tensor:
        exps_BB = source_BD @ target_BD.T
        exps_BB.diagonal().sub_(margin)
        exps_BB.sub_(1).mul_(scale)
        logits_B = exps_BB.diagonal().clone()
        exps_BB.exp_()
        row_sums_B, column_sums_B = exps_BB.sum(1), exps_BB.sum(0)
        ctx.save_for_backward(source_BD, target_BD, exps_BB, row_sums_B, column_sums_B)
        ctx.scale, ctx.gradient_dtype = scale, gradient_dtype
        return (row_sums_B.log() + column_sums_B.log() - 2 * logits_B).mean()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad_loss: Tensor,
    ) -> tuple[Tensor, Tensor, None, None, None]:
        source_BD, target_BD, exps_BB, row_sums_B, column_sums_B = ctx.saved_tensors
        grad_BB = row_sums_B.reciprocal()[:, None] + column_sums_B.reciprocal()
        grad_BB.mul_(exps_BB)
        grad_BB.diagonal().sub_(2)
        grad_BB.mul_(grad_loss * ctx.scale / len(source_BD))

        dtype = ctx.gradient_dtype or source_BD.dtype
        grad_BB = grad_BB.to(dtype)
        grad_source_BD = grad_BB @ target_BD.to(dtype)
        grad_target_BD = grad_BB.T @ source_BD.to(dtype)
        both = (grad_source_BD.to(source_BD.dtype), grad_target_BD.to(target_BD.dtype))
        return *both, None, None, None
