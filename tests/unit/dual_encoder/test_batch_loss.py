"""The loss of a batch from its vectors, in one matrix or in blocks; what is told of the batch."""

import numpy as np
import pytest
import torch

from labse.dual_encoder.batch_loss import BatchLoss, batch_loss, find_left_out
from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.data.pairs import TokenizedPairs

CPU = torch.device("cpu")


def some_pairs() -> TokenizedPairs:
    """Four pairs of sentences of one piece; pairs 0 and 2 have one source."""
    return TokenizedPairs(
        input_ids=np.array([5, 6, 7, 8, 5, 9, 10, 11], dtype=np.int32),
        offsets=np.arange(9),
        pairs=np.arange(8, dtype=np.int32).reshape(-1, 2),
        pair_langs=np.zeros(4, dtype=np.int16),
        lang_pairs=("eng-zzz",),
        pair_corpora=np.zeros(4, dtype=np.int16),
        corpora=("random",),
        num_truncated=0,
    )


def unit(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=-1).requires_grad_()


def test_what_stands_in_two_pairs_is_left_out_in_both_directions() -> None:
    pairs, options = some_pairs(), TrainConfig(global_batch_size=4)
    forward, backward = find_left_out(pairs, pairs.pairs, None, options, CPU)
    assert forward is not None
    assert backward is forward
    mask = forward.mask(torch.zeros(4, 4), torch.arange(4))
    assert mask.nonzero().tolist() == [[0, 2], [2, 0]]
    assert find_left_out(pairs, pairs.pairs[[0, 1, 3]], None, options, CPU) == (None, None)


@pytest.mark.parametrize("has_negatives", [False, True])
@pytest.mark.parametrize("max_excess", [None, 0.1])
def test_blocks_give_the_loss_gradients_and_counts_of_one_matrix(
    has_negatives: bool, max_excess: float | None
) -> None:
    pairs = some_pairs()
    known = np.array([[1], [-1], [6]])  # Translations of hard negatives: sentences of the batch.
    negatives = Negatives(np.array([20, 21, 22], np.int32), np.ones(3, np.int64), 2, known)
    found = []
    for block_bytes in (2**20, 64):
        sides = [unit(4, 0), unit(4, 1), *((unit(2, 2), unit(1, 3)) if has_negatives else ())]
        options = TrainConfig(
            global_batch_size=4, logit_block_bytes=block_bytes, max_negative_excess=max_excess
        )
        left_out = find_left_out(
            pairs, pairs.pairs, negatives if has_negatives else None, options, CPU
        )
        further = (sides[2], sides[3]) if has_negatives else None
        result = batch_loss(sides[0], sides[1], further, left_out, options)
        result.loss.backward()
        found.append((result, [side.grad for side in sides]))
    (plain, expected), (blocks, gradients) = found
    assert plain.num_false_negatives == blocks.num_false_negatives >= 4
    torch.testing.assert_close(blocks.loss, plain.loss, rtol=1e-12, atol=1e-12)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("block_bytes", [1, 100, 2**20])
def test_in_batch_p_at_1_is_the_share_of_sources_nearest_to_their_translation(
    block_bytes: int,
) -> None:
    eye = torch.eye(4)
    batch = BatchLoss(torch.zeros(()), torch.zeros(()), eye, eye[[0, 1, 3, 2]])
    assert batch.in_batch_p_at_1(block_bytes) == 0.5


def test_the_mean_cosine_is_1_for_equal_vectors_and_1_in_n_for_orthogonal_ones() -> None:
    zero, eye = torch.zeros(()), torch.eye(4)
    assert BatchLoss(zero, zero, eye, eye).mean_cosine == pytest.approx(0.25)
    assert BatchLoss(zero, zero, eye, eye[[1, 1, 1, 1]]).mean_cosine == pytest.approx(1)
