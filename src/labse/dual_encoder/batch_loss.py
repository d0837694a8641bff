"""The loss of a batch from its vectors, on one process, and what of the batch it leaves out.

Dimensions: B pairs of a batch, H hard negatives of a direction, M candidates, D embedding.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.dual_encoder.blockwise import blockwise_additive_margin_softmax, num_rows
from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.false_negatives import FalseNegatives, find_false_negatives
from labse.dual_encoder.inplace_loss import inplace_additive_margin_softmax, is_in_range
from labse.dual_encoder.loss import additive_margin_softmax

__all__ = ["BatchLoss", "LeftOut", "batch_loss", "find_left_out"]

LeftOut = tuple[FalseNegatives | None, FalseNegatives | None]  # By direction.


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of a batch, and the vectors it was computed from.

    Attributes:
        loss: a scalar.
        num_false_negatives: a scalar, the candidates left out, over both directions.
        source: (B, D) unit rows, without a graph; of several processes, those of the share.
        target: (B, D) unit rows, without a graph.
        first: the target of the first source.
    """

    loss: Tensor
    num_false_negatives: Tensor
    source: Tensor
    target: Tensor
    first: int = 0

    @property
    def mean_cosine(self) -> float:
        """The mean over all pairs of targets, each with itself too: near 1, vectors are alike."""
        return self.target.mean(0).square().sum().item()

    def in_batch_p_at_1(self, max_block_bytes: int) -> float:
        """Returns the share of sources whose translation is the nearest target of the batch."""
        rows = num_rows(len(self.target), self.target.itemsize, max_block_bytes)
        parts = torch.split(self.source, rows)
        nearest = torch.cat([(part @ self.target.T).argmax(1) for part in parts])
        labels = self.first + torch.arange(len(nearest), device=nearest.device)
        return (nearest == labels).float().mean().item()


def find_left_out(
    pairs: TokenizedPairs,
    batch_B2: NDArray[np.int32],
    negatives: Negatives | None,
    options: TrainConfig,
    device: torch.device,
) -> LeftOut:
    """Looks for candidates of a batch that are right answers, in each direction.

    Args:
        pairs: the training data.
        batch_B2: sentence numbers of the batch.
        negatives: its hard negatives.
        options: may bound how far a negative is above the positive.
        device: of the embeddings.
    """
    sentences = pairs.gather(batch_B2.T.reshape(-1))
    find = partial(
        find_false_negatives, *sentences, max_excess=options.max_negative_excess, device=device
    )
    if negatives is None:
        found = find()
        return found, found
    num_targets = negatives.num_targets
    return find(known=negatives.known[:num_targets]), find(known=negatives.known[num_targets:])


def batch_loss(
    source_BD: Tensor,
    target_BD: Tensor,
    negatives: tuple[Tensor, Tensor] | None,
    false_negatives: LeftOut,
    options: TrainConfig,
) -> BatchLoss:
    """Returns the loss, in blocks of rows where its matrix would be larger than the options allow.

    Args:
        source_BD: unit rows.
        target_BD: of their translations.
        negatives: unit rows of further candidates for sources, and for targets.
        false_negatives: what to leave out.
        options: scale, margin and the size of a block.
    """
    scale, margin = options.logit_scale, options.logit_margin
    source, target = source_BD.detach(), target_BD.detach()
    num_candidates = len(source) + max(map(len, negatives or ((),)))
    if num_rows(num_candidates, source.itemsize, options.logit_block_bytes) < len(source):
        both = blockwise_additive_margin_softmax(
            source_BD,
            target_BD,
            logit_scale=scale,
            logit_margin=margin,
            max_block_bytes=options.logit_block_bytes,
            false_negatives=false_negatives,
            negatives=negatives,
        )
        return BatchLoss(both.loss, both.num_false_negatives, source, target)

    masks = None
    num_false_negatives = torch.zeros((), dtype=torch.int64)
    if false_negatives != (None, None):
        cosines_BB = source @ target.T
        masks = (
            _mask(false_negatives[0], cosines_BB, source, negatives and negatives[0]),
            _mask(false_negatives[1], cosines_BB.T, target, negatives and negatives[1]),
        )
        num_false_negatives = masks[0].sum() + masks[1].sum()
    if masks is None and negatives is None and is_in_range(scale, margin):
        loss = inplace_additive_margin_softmax(
            source_BD,
            target_BD,
            logit_scale=scale,
            logit_margin=margin,
            gradient_dtype=torch.bfloat16 if options.precision == "bfloat16" else None,
        )
        return BatchLoss(loss, num_false_negatives, source, target)
    loss = additive_margin_softmax(
        source_BD,
        target_BD,
        logit_scale=scale,
        logit_margin=margin,
        masks=masks,
        negatives=negatives,
    )
    return BatchLoss(loss, num_false_negatives, source, target)


def _mask(
    false_negatives: FalseNegatives | None,
    cosines_BB: Tensor,
    query_BD: Tensor,
    negatives_HD: Tensor | None,
) -> Tensor:
    """Returns (B, B + H) booleans, true for what a direction leaves out."""
    cosines_BM = cosines_BB
    if negatives_HD is not None:
        cosines_BM = torch.cat([cosines_BB, query_BD @ negatives_HD.detach().T], 1)
    if false_negatives is None:
        return torch.zeros_like(cosines_BM, dtype=torch.bool)
    return false_negatives.mask(cosines_BM, torch.arange(len(query_BD), device=query_BD.device))
