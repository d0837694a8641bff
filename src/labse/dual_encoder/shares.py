"""One batch over several processes: each embeds its share and ranks it among the vectors of all.

Takes: the vectors of a share. Gives: this process's part of the loss. Source: the paper:
negatives are shared by all accelerators.

Dimensions: B pairs and H hard negatives of a batch, n pairs of a share, D embedding.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labse.dual_encoder.blockwise import Direction, blockwise_cross_entropy
from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.false_negatives import FalseNegatives
from labse.training.distributed import Processes

__all__ = ["ShareLoss", "share_loss", "share_negatives"]


@dataclass(frozen=True, slots=True)
class ShareLoss:
    """A process's part of the loss and what it was compared with.

    Attributes:
        part: its loss over the share, of which the sum over processes is that of the batch, and
            the candidates left out.
        target: (B, D) unit rows, without a graph.
    """

    part: Direction
    target: Tensor


def share_negatives(negatives: Negatives | None, processes: Processes) -> Negatives | None:
    """Returns the hard negatives that this process embeds; their numbers may differ by one."""
    if negatives is None or processes.size == 1:
        return negatives
    ends = np.concatenate([[0], np.cumsum(negatives.lengths)])
    ranges = _negative_ranges(negatives, processes.size)[processes.rank]
    rows = np.concatenate([np.arange(*bounds) for bounds in ranges])
    ids = [negatives.input_ids[ends[first] : ends[last]] for first, last in ranges]
    return Negatives(
        np.concatenate(ids), negatives.lengths[rows], np.diff(ranges[0])[0], negatives.known[rows]
    )


def share_loss(
    source_nD: Tensor,
    target_nD: Tensor,
    further_hD: Tensor | None,
    negatives: Negatives | None,
    false_negatives: Sequence[FalseNegatives | None],
    options: TrainConfig,
    processes: Processes,
) -> ShareLoss:
    """Ranks the pairs of a share among the candidates of the whole batch, both ways.

    The logits of a share are a rectangle, made in blocks as `blockwise.py` does.

    Args:
        source_nD: unit rows of the sources of the share.
        target_nD: of their translations.
        further_hD: of the share's hard negatives; None where the batch has none.
        negatives: all hard negatives of the batch.
        false_negatives: what each direction leaves out, of the whole batch.
        options: scale, margin and the size of a block.
        processes: that share the batch.
    """
    n = len(source_nD)
    own = [source_nD, target_nD] + ([] if further_hD is None else [further_hD])
    gathered_MD = processes.gather_rows(torch.cat(own))
    sizes: list[int] = []
    for rank in range(processes.size):
        ranges = [] if negatives is None else _negative_ranges(negatives, processes.size)[rank]
        sizes += [n, n, *(last - first for first, last in ranges)]
    kinds = 2 if negatives is None else 4
    parts = torch.split(gathered_MD, sizes)
    every = [torch.cat(parts[kind::kinds]) for kind in range(kinds)]

    candidates = (every[1], every[0])
    if negatives is not None:
        candidates = (torch.cat([every[1], every[2]]), torch.cat([every[0], every[3]]))
    positives = processes.rank * n + torch.arange(n, device=source_nD.device)
    directions = [
        blockwise_cross_entropy(
            query,
            candidate,
            positives,
            logit_scale=options.logit_scale,
            logit_margin=options.logit_margin,
            max_block_bytes=options.logit_block_bytes,
            false_negatives=left_out,
        )
        for query, candidate, left_out in zip(
            (source_nD, target_nD), candidates, false_negatives, strict=True
        )
    ]
    # Each is a mean over n queries, of which the batch has n * size.
    loss = (directions[0].loss + directions[1].loss) / processes.size
    left_out = directions[0].num_false_negatives + directions[1].num_false_negatives
    return ShareLoss(Direction(loss, left_out), every[1].detach())


def _negative_ranges(negatives: Negatives, size: int) -> list[list[tuple[int, int]]]:
    """Returns, for each rank, where its candidates for sources and for targets begin and end."""
    ends = (0, negatives.num_targets, len(negatives.lengths))
    shares = []
    for rank in range(size):
        sides = itertools.pairwise(ends)
        shares.append([_bounds(first, last - first, rank, size) for first, last in sides])
    return shares


def _bounds(first: int, length: int, rank: int, size: int) -> tuple[int, int]:
    return first + length * rank // size, first + length * (rank + 1) // size
