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

from labse.dual_encoder.config import DistillConfig, TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.distillation import distillation_loss
from labse.dual_encoder.ranking import BatchLoss, ranking_loss
from labse.files.npy import gather_ragged
from labse.network.dual_encoder import DualEncoder, embed_bags, is_bag
from labse.training.distributed import SINGLE, Processes
from labse.training.sharding import is_sharded

__all__ = ["add_gradients", "cached_backward", "pad"]


def add_gradients(
    model: DualEncoder,
    batch: Batch,
    options: TrainConfig,
    distill: DistillConfig | None = None,
    processes: Processes = SINGLE,
) -> BatchLoss:
    """Adds the gradients of the loss of a batch to those of the model.

    With `micro_batch_size` below B the model sees that many pairs, or twice as many hard negatives,
    at a time (`cached_backward`). The loss and its gradients are those of the whole batch.

    Args:
        model: the student.
        batch: the whole batch.
        options: the loss and the micro-batch.
        distill: the weights of ranking and distillation, where the batch has teacher vectors.
        processes: the processes that share the batch. Each embeds its part; the sum of their
            gradients is that of one (`Processes.sum_gradients`).

    Returns:
        The loss of the whole batch.
    """
    # This process's part: sentences in chunks of like lengths, then hard negatives in any order.
    # The longest come first: what they leave free is large enough for all that follow.
    part = processes.part(batch.num_pairs)
    rows = np.arange(2 * batch.num_pairs).reshape(2, -1)[:, part].reshape(-1)
    by_length = np.argsort(-batch.lengths[rows], kind="stable")
    chunk_size = 2 * (options.micro_batch_size or len(rows) // 2)
    chunks = _cut_chunks(batch.input_ids, batch.lengths, rows[by_length], chunk_size)
    num_chunks = len(chunks)
    if (negatives := batch.negatives) is not None:
        ranges = negatives.rows_of_rank(processes.rank, processes.size)
        negative_rows = np.concatenate([np.arange(r.start, r.stop) for r in ranges])
        chunks += _cut_chunks(negatives.input_ids, negatives.lengths, negative_rows, chunk_size)

    device = model.bert.embeddings.word.weight.device
    places = torch.from_numpy(by_length.argsort()).to(device)
    teacher = None
    if batch.teacher_vectors is not None and distill is not None:
        teacher = torch.from_numpy(batch.teacher_vectors[rows]).to(device)

    def compute_loss(embeddings: Sequence[Tensor]) -> BatchLoss:
        """Ranks all vectors, and compares them with the teacher's."""
        both = torch.cat(list(embeddings[:num_chunks])).index_select(0, places)
        source_nD, target_nD = both.chunk(2)
        negatives_hD = torch.cat(list(embeddings[num_chunks:])) if embeddings[num_chunks:] else None
        ranked = ranking_loss(source_nD, target_nD, negatives_hD, batch, options, processes)
        if teacher is None or distill is None:
            return ranked
        source_teacher_nD, target_teacher_nD = teacher.chunk(2)
        distance = distillation_loss(
            (source_nD, target_nD), (source_teacher_nD, target_teacher_nD), kind=distill.loss
        )
        # A mean over this process's part, as a part of that over the batch.
        distance = distill.weight * distance / processes.size
        return replace(ranked, loss=distill.ranking_weight * ranked.loss + distance)

    # Forward and backward, at once or chunk by chunk.
    embed_chunks = [partial(_embed, model, *chunk, precision=options.precision) for chunk in chunks]
    if options.micro_batch_size is not None and len(chunks) > 1:
        result = cached_backward(embed_chunks, compute_loss)
    else:
        result = compute_loss([embed() for embed in embed_chunks])
        result.loss.backward()  # type: ignore[no-untyped-call]

    # The loss of the batch from those of its parts.
    if processes.size == 1:
        return result
    numbers = [result.loss.item(), result.num_false_negatives.item()]
    loss, num_false_negatives = torch.tensor(processes.add(numbers), dtype=torch.float64)
    return replace(result, loss=loss, num_false_negatives=num_false_negatives)


def _cut_chunks(
    input_ids: NDArray[np.int32],
    lengths: NDArray[np.int64],
    rows: NDArray[np.int64],
    chunk_size: int,
) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Returns the ids and lengths of some sentences in chunks."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts = range(0, len(rows), chunk_size)
    return [gather_ragged(input_ids, offsets, rows[s : s + chunk_size]) for s in starts]


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
        embed_chunks: functions that give the (C, D) vectors of a chunk, all on one device, and draw
            from no generator but the global ones.
        compute_loss: called once, with the vectors of all chunks.
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
