"""The loss of `loss.py` without its matrix of logits: blocks of rows, made again on the way back.

Dimensions: R queries, M candidates, D embedding; r rows of a block.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from labse.dual_encoder.false_negatives import FalseNegatives

__all__ = ["Direction", "blockwise_additive_margin_softmax", "blockwise_cross_entropy", "num_rows"]


@dataclass(frozen=True, slots=True)
class Direction:
    """What one direction of the loss gives.

    Attributes:
        loss: a scalar, the mean over queries.
        num_false_negatives: a scalar, the candidates that were left out, over all queries.
    """

    loss: Tensor
    num_false_negatives: Tensor


def num_rows(num_columns: int, itemsize: int, max_bytes: int) -> int:
    """Returns how many rows of logits fit in `max_bytes`: one at least."""
    return max(1, max_bytes // (num_columns * itemsize))


def blockwise_additive_margin_softmax(
    source: Tensor,
    target: Tensor,
    *,
    logit_scale: float,
    logit_margin: float,
    max_block_bytes: int,
    false_negatives: tuple[FalseNegatives | None, FalseNegatives | None] = (None, None),
    negatives: tuple[Tensor, Tensor] | None = None,
) -> Direction:
    """Equals `additive_margin_softmax`, in value and gradient, with a block of logits at a time.

    Args:
        source: (B, D) unit rows.
        target: (B, D) unit rows; row i translates row i of `source`.
        logit_scale: factor on cosines.
        logit_margin: subtracted from the cosine of each true pair.
        max_block_bytes: see `blockwise_cross_entropy`.
        false_negatives: says what each direction leaves out; None leaves all in.
        negatives: see `additive_margin_softmax`.

    Raises:
        ValueError: the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(f"source is {tuple(source.shape)} and target {tuple(target.shape)}")
    labels = torch.arange(len(source), device=source.device)
    candidates = (target, source)
    if negatives is not None:
        candidates = (torch.cat([target, negatives[0]]), torch.cat([source, negatives[1]]))
    directions = [
        blockwise_cross_entropy(
            query,
            candidate,
            labels,
            logit_scale=logit_scale,
            logit_margin=logit_margin,
            max_block_bytes=max_block_bytes,
            false_negatives=left_out,
        )
        for query, candidate, left_out in zip(
            (source, target), candidates, false_negatives, strict=True
        )
    ]
    forward, backward = directions
    return Direction(
        forward.loss + backward.loss, forward.num_false_negatives + backward.num_false_negatives
    )


def blockwise_cross_entropy(
    query: Tensor,
    candidate: Tensor,
    positives: Tensor,
    *,
    logit_scale: float,
    logit_margin: float,
    max_block_bytes: int,
    false_negatives: FalseNegatives | None = None,
) -> Direction:
    """Returns one direction of the loss: rank each query's translation first among candidates.

        logit(r, m) = scale * (cos(query_r, candidate_m) - margin * [m = positive_r])
        loss = 1/R sum_r (log sum_m exp logit(r, m) - logit(r, positive_r))

    A row's log-sum-exp is all that the way back needs to make the softmax of a block again, so no
    more than a block exists at a time: memory is that of the inputs and of a few blocks, for one
    more product of the two sides. The idea is that of flash attention (Dao et al., arXiv
    2205.14135, algorithm 1), on the loss.

    Args:
        query: (R, D) unit rows.
        candidate: (M, D) unit rows of the same type; M need not be R.
        positives: (R,) the candidate that translates each query.
        logit_scale: factor on cosines.
        logit_margin: subtracted from the cosine of each true pair.
        max_block_bytes: of the logits of a block; a block has one row at least.
        false_negatives: says what to leave out; None leaves all in.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    block_rows = num_rows(len(candidate), wide.itemsize, max_block_bytes)
    blocks = _Blocks(positives, logit_scale, logit_margin, block_rows, false_negatives)
    return Direction(*_CrossEntropy.apply(query, candidate, blocks))  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Makes the logits of some rows, the same ones on both ways."""

    positives: Tensor
    scale: float
    margin: float
    rows: int
    false_negatives: FalseNegatives | None

    def starts(self) -> range:
        return range(0, len(self.positives), self.rows)

    def logits(self, query_rD: Tensor, candidate_MD: Tensor, start: int) -> "_Logits":
        positives_r = self.positives[start : start + self.rows]
        logits_rM = query_rD @ candidate_MD.T
        logits_rM = logits_rM.to(torch.promote_types(logits_rM.dtype, torch.float32))
        mask_rM = None
        if self.false_negatives is not None:
            mask_rM = self.false_negatives.mask(logits_rM, positives_r)
        logits_rM[torch.arange(len(positives_r), device=query_rD.device), positives_r] -= (
            self.margin
        )
        logits_rM *= self.scale
        if mask_rM is not None:
            logits_rM.masked_fill_(mask_rM, -torch.inf)
        return _Logits(logits_rM, positives_r, mask_rM)


@dataclass(frozen=True, slots=True)
class _Logits:
    values_rM: Tensor
    positives_r: Tensor
    mask_rM: Tensor | None


class _CrossEntropy(torch.autograd.Function):
    """Forward keeps the two sides and a number a row; backward goes over the blocks again."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own context has no public type.
        query_RD: Tensor,
        candidate_MD: Tensor,
        blocks: _Blocks,
    ) -> tuple[Tensor, Tensor]:
        log_sums: list[Tensor] = []
        costs: list[Tensor] = []
        masked = torch.zeros((), dtype=torch.int64, device=query_RD.device)
        for start in blocks.starts():
            block = blocks.logits(query_RD[start : start + blocks.rows], candidate_MD, start)
            log_sum_r = block.values_rM.logsumexp(1)
            positive_r = block.values_rM.gather(1, block.positives_r[:, None])[:, 0]
            log_sums.append(log_sum_r)
            costs.append(log_sum_r - positive_r)
            if block.mask_rM is not None:
                masked += block.mask_rM.sum()
        ctx.save_for_backward(query_RD, candidate_MD, torch.cat(log_sums))
        ctx.blocks = blocks
        ctx.mark_non_differentiable(masked)
        return torch.cat(costs).mean(), masked

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,  # noqa: ANN401
        grad_loss: Tensor,
        _: Tensor,
    ) -> tuple[Tensor, Tensor, None]:
        query_RD, candidate_MD, log_sum_R = ctx.saved_tensors
        blocks: _Blocks = ctx.blocks
        grad_query_RD = torch.empty_like(query_RD)
        grad_candidate_MD = torch.zeros_like(candidate_MD)
        for start in blocks.starts():
            rows = slice(start, start + blocks.rows)
            block = blocks.logits(query_RD[rows], candidate_MD, start)
            # d loss / d cosine: the softmax, less 1 at the positive, times scale / R.
            grad_rM = block.values_rM.sub_(log_sum_R[rows, None]).exp_()
            ones_r1 = torch.ones_like(grad_rM[:, :1])
            grad_rM.scatter_add_(1, block.positives_r[:, None], -ones_r1)
            grad_rM *= grad_loss * (blocks.scale / len(query_RD))
            narrow_rM = grad_rM.to(query_RD.dtype)
            torch.mm(narrow_rM, candidate_MD, out=grad_query_RD[rows])
            grad_candidate_MD.addmm_(narrow_rM.T, query_RD[rows])
        return grad_query_RD, grad_candidate_MD, None
