"""The translation-ranking loss: bidirectional additive margin softmax over in-batch negatives.

Dimensions: B pairs, H hard negatives and M candidates of a direction, D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["additive_margin_softmax"]


def additive_margin_softmax(
    source: Tensor,
    target: Tensor,
    *,
    logit_scale: float,
    logit_margin: float,
    masks: tuple[Tensor, Tensor] | None = None,
    negatives: tuple[Tensor, Tensor] | None = None,
    negative_margin: float | None = None,
) -> Tensor:
    """Returns the loss of ranking each sentence's translation first among the batch, both ways.

    With phi(i, j) = cos(source_i, target_j) - margin * [i = j] (paper, section 2):

        L  = -1/B sum_i log exp(scale * phi(i, i)) / sum_j exp(scale * phi(i, j))   source to target
        L' = the same with source and target exchanged                              target to source
        loss = L + L'                                                      summed, not averaged

    The margin is inside the scale, as in Google's code (official/projects/labse, `logit_scale` 100
    and `logit_margin` 0.3), so a pair must win by 30 logits there.

    Args:
        source: (B, D) unit rows.
        target: (B, D) unit rows; row i translates row i of `source`, all other rows are negatives.
        logit_scale: factor on cosines; 1 never learns, since the softmax stays almost uniform.
        logit_margin: subtracted from the cosine of each true pair.
        masks: two times (B, B) booleans, true for what the sums over j leave out: target j for
            source i, and source j for target i. None leaves all in. With negatives they have
            columns for these too.
        negatives: unit rows that translate nothing of the batch: the sums over j of the first
            direction go on over the first ones, those of the second over the second.
        negative_margin: the margin by which a pair must win over `negatives`; None: `logit_margin`.
            Their cosines are lowered by what it is below that.

    Returns:
        A float32 scalar (float64 for float64 inputs).

    Raises:
        ValueError: the shapes differ.
    """
    if source.shape != target.shape:
        raise ValueError(f"source is {tuple(source.shape)} and target {tuple(target.shape)}")

    cosines_BB = source @ target.T
    cosines_BB = cosines_BB.to(torch.promote_types(cosines_BB.dtype, torch.float32))
    phi_BB = cosines_BB - logit_margin * torch.eye(
        len(source), dtype=cosines_BB.dtype, device=source.device
    )
    logits_BB = logit_scale * phi_BB

    labels = torch.arange(len(source), device=source.device)
    forward_BM, backward_BM = logits_BB, logits_BB.T
    if negatives is not None:
        for_sources, for_targets = negatives
        excess = 0.0 if negative_margin is None else logit_margin - negative_margin
        forward_BH = logit_scale * ((source @ for_sources.T).to(logits_BB.dtype) - excess)
        backward_BH = logit_scale * ((target @ for_targets.T).to(logits_BB.dtype) - excess)
        forward_BM = torch.cat([forward_BM, forward_BH], 1)
        backward_BM = torch.cat([backward_BM, backward_BH], 1)
    if masks is not None:
        forward_BM = forward_BM.masked_fill(masks[0], -torch.inf)
        backward_BM = backward_BM.masked_fill(masks[1], -torch.inf)
    forward = F.cross_entropy(forward_BM, labels)
    backward = F.cross_entropy(backward_BM, labels)
    return forward + backward
