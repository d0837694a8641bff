"""One batch to the gradients of the loss over all of it, whatever of it fits in memory at a time.

Dimensions: B pairs of a batch, C sentences of a chunk, T tokens, S tokens of the longest sentence,
D embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.dual_encoder.bag import embed_bags, is_bag
from labse.dual_encoder.blockwise import blockwise_additive_margin_softmax, num_rows
from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.false_negatives import FalseNegatives, find_false_negatives
from labse.dual_encoder.loss import additive_margin_softmax
from labse.dual_encoder.model import DualEncoder
from labse.dual_encoder.pairs import TokenizedPairs

__all__ = ["BatchLoss", "add_gradients", "cached_backward", "pad"]


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """The loss of a batch, and the vectors it was computed from.

    Attributes:
        loss: a scalar.
        num_false_negatives: a scalar, the candidates left out, over both directions.
        source: (B, D) unit rows, without a graph.
        target: (B, D) unit rows, without a graph.
    """

    loss: Tensor
    num_false_negatives: Tensor
    source: Tensor
    target: Tensor

    def in_batch_p_at_1(self, max_block_bytes: int) -> float:
        """Returns the share of sources whose translation is the nearest target of the batch."""
        rows = num_rows(len(self.target), self.target.itemsize, max_block_bytes)
        parts = torch.split(self.source, rows)
        nearest = torch.cat([(part @ self.target.T).argmax(1) for part in parts])
        labels = torch.arange(len(nearest), device=nearest.device)
        return (nearest == labels).float().mean().item()


def add_gradients(
    model: DualEncoder, pairs: TokenizedPairs, batch_B2: NDArray[np.int32], options: TrainConfig
) -> BatchLoss:
    """Adds the gradients of the loss of a batch to those of the model.

    With `micro_batch_size` below B the model sees that many pairs at a time (`cached_backward`).
    The loss and its gradients are those of the whole batch either way.
    """
    micro_batch_size = options.micro_batch_size or len(batch_B2)
    chunks = [
        batch_B2[start : start + micro_batch_size]
        for start in range(0, len(batch_B2), micro_batch_size)
    ]
    gathered = [pairs.gather(chunk.T.reshape(-1)) for chunk in chunks]
    device = model.bert.embeddings.word.weight.device
    embed = partial(_embed, model, precision=options.precision)

    false_negatives = find_false_negatives(
        *pairs.gather(batch_B2.T.reshape(-1)),
        max_excess=options.max_negative_excess,
        device=device,
    )

    def compute_loss(embeddings: Sequence[Tensor]) -> BatchLoss:
        # A chunk holds its sources, then its targets.
        sides = zip(*(chunk.chunk(2) for chunk in embeddings), strict=True)
        source_BD, target_BD = (torch.cat(side) for side in sides)
        return _loss(source_BD, target_BD, false_negatives, options)

    if len(gathered) > 1:
        return cached_backward([partial(embed, *chunk) for chunk in gathered], compute_loss)
    result = compute_loss([embed(*gathered[0])])
    result.loss.backward()  # type: ignore[no-untyped-call]
    return result


def cached_backward(
    embed_chunks: Sequence[Callable[[], Tensor]],
    compute_loss: Callable[[Sequence[Tensor]], BatchLoss],
) -> BatchLoss:
    """Adds the gradients of a loss over all chunks, with the activations of one chunk at a time.

    The first pass keeps the vectors of each chunk and the state of the generators before it. The
    loss over all vectors gives their gradients. The second pass makes each chunk's vectors again,
    with the same dropout, and sends their gradients back through it. Source: gradient caching, Gao
    et al. 2021, arXiv 2101.06983, section 3.2.

    Args:
        embed_chunks: each gives the (C, D) vectors of a chunk and draws from the global generators
            alone; all are on one device.
        compute_loss: of the vectors of all chunks.
    """
    states: list[_GeneratorState] = []
    leaves: list[Tensor] = []
    with torch.no_grad():
        for embed in embed_chunks:
            states.append(_GeneratorState.read())
            leaves.append(embed().requires_grad_())

    result = compute_loss(leaves)
    result.loss.backward()  # type: ignore[no-untyped-call]

    # The last chunk leaves the generators as the first pass did.
    for embed, state, leaf in zip(embed_chunks, states, leaves, strict=True):
        state.restore()
        torch.autograd.backward(embed(), leaf.grad)
    return result


def pad(input_ids: NDArray[np.int32], lengths: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Lays flat ids (T,) out as rows: ids (C, S) padded with 0, and the mask (C, S)."""
    mask_CS = np.arange(lengths.max())[None, :] < lengths[:, None]
    input_ids_CS = np.zeros(mask_CS.shape, dtype=np.int64)
    input_ids_CS[mask_CS] = input_ids
    return torch.from_numpy(input_ids_CS), torch.from_numpy(mask_CS)


@dataclass(frozen=True, slots=True)
class _GeneratorState:
    """The global generators, of the CPU and of the GPU if there is one."""

    cpu: Tensor
    cuda: Tensor | None

    @classmethod
    def read(cls) -> "_GeneratorState":
        has_cuda = torch.cuda.is_available()
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state() if has_cuda else None)

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda)


def _embed(
    model: DualEncoder,
    input_ids: NDArray[np.int32],
    lengths: NDArray[np.int64],
    *,
    precision: str,
) -> Tensor:
    """Returns (C, D) unit rows."""
    device = model.bert.embeddings.word.weight.device
    # Its own context for each call: weights cast under no_grad would cut the second pass's graph.
    with torch.autocast(device.type, torch.bfloat16, precision == "bfloat16"):
        if is_bag(model):
            return embed_bags(model, input_ids, lengths)
        input_ids_CS, mask_CS = pad(input_ids, lengths)
        embeddings_CD: Tensor = model(input_ids_CS.to(device), mask_CS.to(device))
        return embeddings_CD


def _loss(
    source_BD: Tensor,
    target_BD: Tensor,
    false_negatives: FalseNegatives | None,
    options: TrainConfig,
) -> BatchLoss:
    scale, margin = options.logit_scale, options.logit_margin
    source, target = source_BD.detach(), target_BD.detach()
    if num_rows(len(source), source.itemsize, options.logit_block_bytes) < len(source):
        both = blockwise_additive_margin_softmax(
            source_BD,
            target_BD,
            logit_scale=scale,
            logit_margin=margin,
            max_block_bytes=options.logit_block_bytes,
            false_negatives=false_negatives,
        )
        return BatchLoss(both.loss, both.num_false_negatives, source, target)

    masks = None
    num_false_negatives = torch.zeros((), dtype=torch.int64)
    if false_negatives is not None:
        cosines_BB = source @ target.T
        labels = torch.arange(len(source), device=source.device)
        masks = (
            false_negatives.mask(cosines_BB, labels),
            false_negatives.mask(cosines_BB.T, labels),
        )
        num_false_negatives = masks[0].sum() + masks[1].sum()
    loss = additive_margin_softmax(
        source_BD, target_BD, logit_scale=scale, logit_margin=margin, masks=masks
    )
    return BatchLoss(loss, num_false_negatives, source, target)
