"""One batch to the gradients of the loss over all of it, whatever of it fits in memory at a time.

Dimensions: B pairs of a batch, C sentences of a chunk, T tokens, S tokens of the longest sentence,
D embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labse.dual_encoder.batch_loss import BatchLoss, batch_loss, find_left_out
from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.extras import NO_EXTRAS, Extras
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.distillation import distillation_loss
from labse.dual_encoder.shares import share_loss, share_negatives
from labse.network.dual_encoder import DualEncoder, embed_bags, is_bag
from labse.training.distributed import SINGLE, Processes
from labse.training.sharding import is_sharded

__all__ = ["add_gradients", "cached_backward", "pad"]


def add_gradients(
    model: DualEncoder,
    pairs: TokenizedPairs,
    batch_B2: NDArray[np.int32],
    options: TrainConfig,
    extras: Extras = NO_EXTRAS,
    processes: Processes = SINGLE,
) -> BatchLoss:
    """Adds the gradients of the loss of a batch to those of the model.

    With `micro_batch_size` below B the model sees that many pairs, or twice as many hard negatives,
    at a time (`cached_backward`). The loss and its gradients are those of the whole batch.

    Of several processes, each embeds its share of the batch, all of which are given here; the sum
    of their gradients is that of one (`Processes.sum_gradients`).
    """
    share = processes.share(len(batch_B2))
    share_n2 = batch_B2[share]
    micro_batch_size = options.micro_batch_size or len(share_n2)
    sentences = share_n2.T.reshape(-1)  # All sources, then all targets.
    chunks = _cut(pairs, sentences, 2 * micro_batch_size)
    gathered = [pairs.gather(sentences[chunk]) for chunk in chunks]
    places = torch.from_numpy(np.concatenate(chunks).argsort())
    device = model.bert.embeddings.word.weight.device
    embed = partial(_embed, model, precision=options.precision)

    negatives = share_negatives(extras.negatives, processes)
    if negatives is not None:
        gathered += _split(negatives, 2 * micro_batch_size)
    false_negatives = find_left_out(pairs, batch_B2, extras.negatives, options, device)

    def compute_loss(embeddings: Sequence[Tensor]) -> BatchLoss:
        both = torch.cat(list(embeddings[: len(chunks)])).index_select(0, places.to(device))
        source_BD, target_BD = both.chunk(2)
        further = None
        if negatives is not None and len(embeddings) > len(chunks):
            further_HD = torch.cat(list(embeddings[len(chunks) :]))
            further = (further_HD[: negatives.num_targets], further_HD[negatives.num_targets :])
        if processes.size == 1:
            result = batch_loss(source_BD, target_BD, further, false_negatives, options)
        else:
            own = (source_BD, target_BD, None if further is None else torch.cat(further))
            ranked = share_loss(*own, extras.negatives, false_negatives, options, processes)
            result = BatchLoss(
                ranked.part.loss,
                ranked.part.num_false_negatives,
                source_BD.detach(),
                ranked.target,
                share.start,
            )
        if (lesson := extras.lesson) is None:
            return result
        lesson = replace(lesson, source=lesson.source[share], target=lesson.target[share])
        pull = lesson.config.weight * distillation_loss(source_BD, target_BD, lesson)
        # Its mean over the share, as a part of that over the batch.
        pull = pull / processes.size
        return replace(result, loss=lesson.config.ranking_weight * result.loss + pull)

    if options.micro_batch_size is not None and len(gathered) > 1:
        embed_chunks = [partial(embed, *chunk) for chunk in gathered]
        return _over_all(cached_backward(embed_chunks, compute_loss), processes)
    result = compute_loss([embed(*chunk) for chunk in gathered])
    result.loss.backward()  # type: ignore[no-untyped-call]
    return _over_all(result, processes)


def _cut(
    pairs: TokenizedPairs, sentences: NDArray[np.int32], chunk_size: int
) -> list[NDArray[np.int64]]:
    """Returns the places in `sentences` of each chunk; a chunk holds sentences of like lengths.

    The longest come first: what they leave free is large enough for all that follow.
    """
    lengths = pairs.offsets[sentences + 1] - pairs.offsets[sentences]
    order = np.argsort(-lengths, kind="stable")
    return np.split(order, range(chunk_size, len(order), chunk_size))


def _over_all(result: BatchLoss, processes: Processes) -> BatchLoss:
    """Returns the loss of the batch from that of a share."""
    if processes.size == 1:
        return result
    numbers = [result.loss.item(), result.num_false_negatives.item()]
    loss, num_false_negatives = torch.tensor(processes.add(numbers), dtype=torch.float64)
    return replace(result, loss=loss, num_false_negatives=num_false_negatives)


def _split(negatives: Negatives, size: int) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Cuts hard negatives into chunks of `size` sentences at most."""
    ends = np.concatenate([[0], np.cumsum(negatives.lengths)])
    places = range(0, len(negatives.lengths), size)
    return [
        (
            negatives.input_ids[ends[start] : ends[min(start + size, len(ends) - 1)]],
            negatives.lengths[start : start + size],
        )
        for start in places
    ]


def cached_backward(
    embed_chunks: Sequence[Callable[[], Tensor]],
    compute_loss: Callable[[Sequence[Tensor]], BatchLoss],
) -> BatchLoss:
    """Adds the gradients of a loss over all chunks, with the activations of one chunk at a time.

    The first pass keeps the vectors of each chunk and the state of the generators before it. The
    loss over all vectors gives their gradients. The second pass makes each chunk's vectors again,
    with the same dropout, and sends their gradients back through it. Source: gradient caching, Gao
    et al. 2021, arXiv 2101.06983.

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
        # FSDP gathers weights when the model itself is called.
        if device.type == "cpu" and not is_sharded(model):
            return model.embed_flat(input_ids, lengths)
        input_ids_CS, mask_CS = pad(input_ids, lengths)
        embeddings_CD: Tensor = model(input_ids_CS.to(device), mask_CS.to(device))
        return embeddings_CD
