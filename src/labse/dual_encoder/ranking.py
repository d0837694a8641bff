"""The ranking loss of `loss.py` for a batch on any number of processes, in any memory.

Takes: the unit vectors of this process's part of a batch. Gives: its part of the loss, of which the
sum over processes is that of the batch. Source: the paper, section 2 (negatives are shared by all
accelerators); blocks are the idea of flash attention (Dao et al., arXiv 2205.14135, algorithm 1).

Dimensions: B pairs of a batch; n pairs and h hard negatives of this process; R queries, M
candidates, D embedding; r rows of a block.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.false_negatives import FalseNegatives, find_false_negatives
from labse.dual_encoder.inplace_loss import inplace_additive_margin_softmax, is_in_range
from labse.dual_encoder.loss import additive_margin_softmax
from labse.training.distributed import SINGLE, Processes

__all__ = ["BatchLoss", "blockwise_cross_entropy", "num_rows", "ranking_loss"]


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of a batch, or a process's part of it, and the vectors it was computed from.

    Attributes:
        loss: a scalar.
        num_false_negatives: a scalar, the candidates left out, over both directions.
        source: (n, D) unit rows of this process's sources, without a graph.
        target: (B, D) unit rows of all targets of the batch, without a graph.
        first: the row in `target` of the translation of the first source.
        false_negatives: of the sources among the targets; None where no sentence stands twice.
    """

    loss: Tensor
    num_false_negatives: Tensor
    source: Tensor
    target: Tensor
    first: int = 0
    false_negatives: FalseNegatives | None = None

    @property
    def mean_cosine(self) -> float:
        """The mean over all pairs of targets, each with itself too: near 1, vectors are alike."""
        return self.target.mean(0).square().sum().item()

    def in_batch_p_at_1(self, max_block_bytes: int) -> float:
        """Returns the share of sources whose translation is the nearest target of the batch.

        Targets of pairs that share a sentence with the source's are right answers too, as in the
        loss: they neither win nor lose.
        """
        rows = num_rows(len(self.target), self.target.itemsize, max_block_bytes)
        labels = self.first + torch.arange(len(self.source), device=self.source.device)
        num_right = 0
        parts = zip(torch.split(self.source, rows), torch.split(labels, rows), strict=True)
        for part_rD, labels_r in parts:
            cosines_rB = part_rD @ self.target.T
            if self.false_negatives is not None:
                mask_rB = self.false_negatives.mask(cosines_rB, labels_r)
                cosines_rB.masked_fill_(mask_rB, -torch.inf)
            num_right += int((cosines_rB.argmax(1) == labels_r).sum())
        return num_right / len(self.source)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """All vectors that a batch ranks among; `negatives` are for sources and for targets."""

    source_BD: Tensor
    target_BD: Tensor
    negatives: tuple[Tensor, Tensor] | None


def ranking_loss(
    source_nD: Tensor,
    target_nD: Tensor,
    negatives_hD: Tensor | None,
    batch: Batch,
    options: TrainConfig,
    processes: Processes = SINGLE,
) -> BatchLoss:
    """Ranks each translation among the candidates of the whole batch, both ways.

    The value and the gradient are those of `additive_margin_softmax`, whichever of three ways
    computes them (tested to 1e-10 in float64).

    Args:
        source_nD: unit rows of this process's sources.
        target_nD: unit rows of their translations.
        negatives_hD: unit rows of this process's hard negatives, those for sources first.
        batch: the whole batch.
        options: the scale, the margin and the bytes of a block.
        processes: the processes that share the batch.
    """
    candidates = _gather_candidates(source_nD, target_nD, negatives_hD, batch.negatives, processes)
    false_negatives = find_false_negatives(
        batch, max_excess=options.max_negative_excess, device=source_nD.device
    )
    scale, margin = options.logit_scale, options.logit_margin
    first = processes.rank * len(source_nD)

    # The way depends on what the logits are: of one process, within a block, of the pairs alone.
    num_candidates = batch.num_pairs + max(map(len, candidates.negatives or ((),)))
    block_rows = num_rows(num_candidates, source_nD.itemsize, options.logit_block_bytes)
    is_one_matrix = processes.size == 1 and block_rows >= batch.num_pairs
    is_plain = candidates.negatives is None and false_negatives == (None, None)
    if is_one_matrix and is_plain and is_in_range(scale, margin):
        # Both directions share one matrix: 1.4 to 2.1 times as fast as the definition (2026-11-29,
        # one thread, 512 to 2,048 pairs of width 256 to 768; benchmarks/loss.py).
        dtype = torch.bfloat16 if options.precision == "bfloat16" else None
        loss = inplace_additive_margin_softmax(
            source_nD, target_nD, logit_scale=scale, logit_margin=margin, gradient_dtype=dtype
        )
        num_left_out = torch.zeros((), dtype=torch.int64)
    elif is_one_matrix:
        # The definition saves four products of the two sides: 0.9 to 1.9 times as fast as blocks
        # (the same sizes).
        loss, num_left_out = _rank_in_one_matrix(candidates, false_negatives, options)
    else:
        # The logits of a process are a rectangle: its n sources or targets by all candidates. Each
        # loss is a mean over n queries, of which the batch has n * size.
        sides = (source_nD, target_nD)
        loss, num_left_out = _rank_in_blocks(sides, first, candidates, false_negatives, options)
        loss = loss / processes.size
    target_BD = candidates.target_BD.detach()
    known = false_negatives[0] and false_negatives[0].among_pairs(batch.num_pairs)
    return BatchLoss(loss, num_left_out, source_nD.detach(), target_BD, first, known)


def _gather_candidates(
    source_nD: Tensor,
    target_nD: Tensor,
    negatives_hD: Tensor | None,
    negatives: Negatives | None,
    processes: Processes,
) -> _Candidates:
    """Returns the vectors of all processes, with the graph through which gradients go back."""
    if negatives is None or not len(negatives.lengths):
        negatives = negatives_hD = None
    if processes.size == 1:
        if negatives is None or negatives_hD is None:
            return _Candidates(source_nD, target_nD, None)
        for_sources, for_targets = torch.tensor_split(negatives_hD, [negatives.num_targets])
        return _Candidates(source_nD, target_nD, (for_sources, for_targets))

    # One gather brings what each rank has: its sources, its targets, its hard negatives.
    own = [source_nD, target_nD] + ([] if negatives_hD is None else [negatives_hD])
    gathered_MD = processes.gather_rows(torch.cat(own))
    sizes: list[int] = []
    for rank in range(processes.size):
        sizes += [len(source_nD), len(target_nD)]
        if negatives is not None:
            sizes += map(len, negatives.rows_of_rank(rank, processes.size))
    parts = torch.split(gathered_MD, sizes)
    num_kinds = len(sizes) // processes.size
    source_BD, target_BD, *rest = (torch.cat(parts[kind::num_kinds]) for kind in range(num_kinds))
    return _Candidates(source_BD, target_BD, (rest[0], rest[1]) if rest else None)


# ---- In one matrix ----


def _rank_in_one_matrix(
    candidates: _Candidates,
    false_negatives: tuple[FalseNegatives | None, FalseNegatives | None],
    options: TrainConfig,
) -> tuple[Tensor, Tensor]:
    """Returns the loss of both directions and the number of candidates left out."""
    source, target, negatives = candidates.source_BD, candidates.target_BD, candidates.negatives
    masks = None
    num_left_out = torch.zeros((), dtype=torch.int64)
    if false_negatives != (None, None):
        with torch.no_grad():
            cosines_BB = source @ target.T
            for_sources, for_targets = negatives or (None, None)
            masks = (
                _mask(false_negatives[0], cosines_BB, source, for_sources),
                _mask(false_negatives[1], cosines_BB.T, target, for_targets),
            )
        num_left_out = masks[0].sum() + masks[1].sum()
    loss = additive_margin_softmax(
        source,
        target,
        logit_scale=options.logit_scale,
        logit_margin=options.logit_margin,
        masks=masks,
        negatives=negatives,
        negative_margin=options.negative_margin,
    )
    return loss, num_left_out


def _mask(
    false_negatives: FalseNegatives | None,
    cosines_BB: Tensor,
    query_BD: Tensor,
    negatives_HD: Tensor | None,
) -> Tensor:
    """Returns (B, B + H) booleans, true for what a direction leaves out."""
    cosines_BM = cosines_BB
    if negatives_HD is not None:
        cosines_BM = torch.cat([cosines_BB, query_BD @ negatives_HD.T], 1)
    if false_negatives is None:
        return torch.zeros_like(cosines_BM, dtype=torch.bool)
    return false_negatives.mask(cosines_BM, torch.arange(len(query_BD), device=query_BD.device))


# ---- In blocks ----


def num_rows(num_columns: int, itemsize: int, max_bytes: int) -> int:
    """Returns how many rows of logits fit in `max_bytes`: one at least."""
    return max(1, max_bytes // (num_columns * itemsize))


def _rank_in_blocks(
    sides: tuple[Tensor, Tensor],
    first: int,
    candidates: _Candidates,
    false_negatives: tuple[FalseNegatives | None, FalseNegatives | None],
    options: TrainConfig,
) -> tuple[Tensor, Tensor]:
    """Returns the loss of both directions, of this process's queries, and what they leave out."""
    among = (candidates.target_BD, candidates.source_BD)
    num_pairs = len(candidates.target_BD)
    if candidates.negatives is not None:
        for_sources, for_targets = candidates.negatives
        among = (torch.cat([among[0], for_sources]), torch.cat([among[1], for_targets]))
    positives = first + torch.arange(len(sides[0]), device=sides[0].device)
    (forward, num_forward), (backward, num_backward) = (
        blockwise_cross_entropy(
            query,
            candidate,
            positives,
            logit_scale=options.logit_scale,
            logit_margin=options.logit_margin,
            num_pairs=num_pairs,
            negative_margin=options.negative_margin,
            max_block_bytes=options.logit_block_bytes,
            false_negatives=left_out,
        )
        for query, candidate, left_out in zip(sides, among, false_negatives, strict=True)
    )
    return forward + backward, num_forward + num_backward


def blockwise_cross_entropy(
    query: Tensor,
    candidate: Tensor,
    positives: Tensor,
    *,
    logit_scale: float,
    logit_margin: float,
    max_block_bytes: int,
    num_pairs: int | None = None,
    negative_margin: float | None = None,
    false_negatives: FalseNegatives | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns one direction of the loss: rank each query's translation first among candidates.

        logit(r, m) = scale * (cos(query_r, candidate_m) - margin * [m = positive_r]
                               - (margin - negative_margin) * [m >= num_pairs])
        loss = 1/R sum_r (log sum_m exp logit(r, m) - logit(r, positive_r))

    A row's log-sum-exp is all that the backward pass needs to make the softmax of a block again, so
    no more than a block exists at a time: memory is that of the inputs and of a few blocks, for one
    more product of the two sides.

    Args:
        query: (R, D) unit rows.
        candidate: (M, D) unit rows of the same type; M need not be R.
        positives: (R,) the candidate that translates each query.
        logit_scale: factor on cosines.
        logit_margin: subtracted from the cosine of each true pair.
        max_block_bytes: bytes of the logits of a block, which has one row at least.
        num_pairs: candidates from this one on are hard negatives; None: there are none.
        negative_margin: the margin by which a pair must win over these; None: `logit_margin`.
        false_negatives: what to leave out; None leaves all in.

    Returns:
        The loss, and the number of candidates left out over all queries, both scalars.
    """
    wide = torch.promote_types(query.dtype, torch.float32)
    block_rows = num_rows(len(candidate), wide.itemsize, max_block_bytes)
    excess = 0.0 if negative_margin is None else logit_margin - negative_margin
    blocks = _Blocks(
        positives,
        logit_scale,
        logit_margin,
        len(candidate) if num_pairs is None else num_pairs,
        excess,
        block_rows,
        false_negatives,
    )
    loss, num_left_out = _CrossEntropy.apply(query, candidate, blocks)  # type: ignore[no-untyped-call]
    return loss, num_left_out


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Makes the logits of some rows, the same ones in both passes."""

    positives: Tensor
    scale: float
    margin: float
    num_pairs: int
    negative_excess: float  # Subtracted from the cosines of hard negatives.
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
        rows_r = torch.arange(len(positives_r), device=query_rD.device)
        logits_rM[rows_r, positives_r] -= self.margin
        logits_rM[:, self.num_pairs :] -= self.negative_excess
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
        num_left_out = torch.zeros((), dtype=torch.int64, device=query_RD.device)
        for start in blocks.starts():
            block = blocks.logits(query_RD[start : start + blocks.rows], candidate_MD, start)
            log_sum_r = block.values_rM.logsumexp(1)
            positive_r = block.values_rM.gather(1, block.positives_r[:, None])[:, 0]
            log_sums.append(log_sum_r)
            costs.append(log_sum_r - positive_r)
            if block.mask_rM is not None:
                num_left_out += block.mask_rM.sum()
        ctx.save_for_backward(query_RD, candidate_MD, torch.cat(log_sums))
        ctx.blocks = blocks
        ctx.mark_non_differentiable(num_left_out)
        return torch.cat(costs).mean(), num_left_out

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
