"""The ranking loss of a batch, in one matrix or in blocks, equals its definition and gradient."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.data.pairs import sides_of
from labse.dual_encoder.false_negatives import find_false_negatives
from labse.dual_encoder.loss import additive_margin_softmax
from labse.dual_encoder.ranking import BatchLoss, blockwise_cross_entropy, num_rows, ranking_loss

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def unit(rows: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return F.normalize(values, dim=-1).to(dtype).requires_grad_()


def bytes_of_rows(rows: int, columns: int, dtype: torch.dtype = torch.float64) -> int:
    return rows * columns * dtype.itemsize


def batch_of(sources: list[int], targets: list[int]) -> Batch:
    """Makes a batch of sentences that are known by a key alone: the loss asks for no more."""
    keys = np.array([*sources, *targets], np.uint64)
    lengths = np.ones(len(keys), np.int64)
    return Batch(np.zeros(0, np.int32), lengths, keys, sides_of(np.arange(len(sources))))


def options(pairs: int, block_bytes: int, max_excess: float | None = None) -> TrainConfig:
    return TrainConfig(
        global_batch_size=max(2, pairs),
        logit_scale=20.0,
        logit_margin=0.3,
        logit_block_bytes=block_bytes,
        max_negative_excess=max_excess,
    )


def by_definition(
    sides: list[torch.Tensor], batch: Batch, max_excess: float | None
) -> tuple[torch.Tensor, int]:
    """Returns the plain loss with masks, and how many entries they have."""
    cosines, labels = (sides[0] @ sides[1].T).detach(), torch.arange(len(sides[0]))
    found = find_false_negatives(batch, max_excess=max_excess, device=torch.device("cpu"))
    nothing = torch.zeros_like(cosines, dtype=torch.bool)
    forward, backward = (
        nothing if direction is None else direction.mask(of_direction, labels)
        for direction, of_direction in zip(found, (cosines, cosines.T), strict=True)
    )
    loss = additive_margin_softmax(
        *sides, logit_scale=20.0, logit_margin=0.3, masks=(forward, backward)
    )
    return loss, int(forward.sum() + backward.sum())


@settings(deadline=None, max_examples=30)
@given(
    pairs=st.integers(1, 13),
    rows=st.integers(1, 14),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from(list(TOLERANCES)),
    num_distinct=st.integers(1, 20) | st.just(10**6),
    max_excess=st.none() | st.floats(0, 1),
)
def test_value_and_gradient_equal_those_of_the_definition(
    pairs: int,
    rows: int,
    seed: int,
    dtype: torch.dtype,
    num_distinct: int,
    max_excess: float | None,
) -> None:
    keys = np.random.default_rng(seed).integers(num_distinct, size=(2, pairs)).tolist()
    batch = batch_of(*keys)
    plain_sides = [unit(pairs, seed, dtype), unit(pairs, seed + 1, dtype)]
    plain, num_masked = by_definition(plain_sides, batch, max_excess)
    (3 * plain).backward()

    sides = [side.detach().clone().requires_grad_() for side in plain_sides]
    block_bytes = bytes_of_rows(rows, pairs, dtype)
    result = ranking_loss(*sides, None, batch, options(pairs, block_bytes, max_excess))
    (3 * result.loss).backward()

    tolerance = TOLERANCES[dtype]
    assert result.loss.dtype == dtype
    assert result.loss.item() == pytest.approx(plain.item(), rel=tolerance, abs=tolerance)
    assert result.num_false_negatives.item() == num_masked
    for ours, theirs in zip(sides, plain_sides, strict=True):
        # Gradients are of the size of the scale, 20.
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=tolerance, atol=20 * tolerance)


@pytest.mark.parametrize("has_negatives", [False, True])
@pytest.mark.parametrize("max_excess", [None, 0.1])
def test_blocks_give_the_loss_gradients_and_counts_of_one_matrix(
    has_negatives: bool, max_excess: float | None
) -> None:
    batch = batch_of([5, 7, 5, 10], [6, 8, 9, 11])  # Pairs 0 and 2 have one source.
    if has_negatives:
        known = np.array([[1], [-1], [6]])  # Sentences of the batch that they translate.
        ids, lengths = np.array([20, 21, 22], np.int32), np.ones(3, np.int64)
        batch = replace(batch, negatives=Negatives(ids, lengths, 2, known))
    found = []
    for block_bytes in (2**20, 64):
        vectors = [unit(4, 0), unit(4, 1), unit(3, 2)]
        result = ranking_loss(
            vectors[0],
            vectors[1],
            vectors[2] if has_negatives else None,
            batch,
            options(4, block_bytes, max_excess),
        )
        result.loss.backward()
        found.append((result, [rows.grad for rows in vectors if rows.grad is not None]))
    (plain, expected), (blocks, gradients) = found
    assert plain.num_false_negatives == blocks.num_false_negatives >= 4
    torch.testing.assert_close(blocks.loss, plain.loss, rtol=1e-12, atol=1e-12)
    assert len(gradients) == len(expected) == 2 + has_negatives
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_more_candidates_than_queries_are_ranked_by_the_index_of_each_positive(rows: int) -> None:
    positives = torch.tensor([7, 2, 2, 0, 8])
    query, candidate = unit(5, 1), unit(9, 2)
    shifted = 20.0 * (query @ candidate.T - 0.3 * F.one_hot(positives, 9).double())
    F.cross_entropy(shifted, positives).backward()

    ours = [side.detach().clone().requires_grad_() for side in (query, candidate)]
    block_bytes = bytes_of_rows(rows, 9)
    loss, _ = blockwise_cross_entropy(
        *ours, positives, logit_scale=20.0, logit_margin=0.3, max_block_bytes=block_bytes
    )
    loss.backward()
    assert loss.item() == pytest.approx(F.cross_entropy(shifted, positives).item())
    for mine, theirs in zip(ours, (query, candidate), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-10)


def test_the_gradient_of_blocks_is_that_of_finite_differences() -> None:
    def loss(query: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
        return blockwise_cross_entropy(
            query,
            candidate,
            torch.tensor([3, 0, 1]),
            logit_scale=5.0,
            logit_margin=0.1,
            max_block_bytes=bytes_of_rows(2, 4),
        )[0]

    assert torch.autograd.gradcheck(loss, (unit(3, 1), unit(4, 2)))


@pytest.mark.parametrize(("max_bytes", "rows"), [(1, 1), (79, 1), (80, 1), (160, 2), (239, 2)])
def test_a_block_is_the_rows_that_fit_and_one_at_least(max_bytes: int, rows: int) -> None:
    assert num_rows(20, 4, max_bytes) == rows


def test_no_tensor_larger_than_a_block_is_made_in_either_pass() -> None:
    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        """Sees every tensor that an operation gives."""

        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
            result = func(*args, **(kwargs or {}))
            for value in result if isinstance(result, tuple) else (result,):
                if isinstance(value, torch.Tensor):
                    self.largest = max(self.largest, value.numel())
            return result

    batch = batch_of([0, *range(59)], list(range(60, 120)))
    sides = unit(60, 1), unit(60, 2)
    with Largest() as seen:
        ranking_loss(
            *sides, None, batch, options(60, bytes_of_rows(7, 60), max_excess=0.5)
        ).loss.backward()
    assert seen.largest == 7 * 60


@pytest.mark.parametrize("block_bytes", [1, 100, 2**20])
def test_in_batch_p_at_1_is_the_share_of_sources_nearest_to_their_translation(
    block_bytes: int,
) -> None:
    eye = torch.eye(4)
    batch = BatchLoss(torch.zeros(()), torch.zeros(()), eye, eye[[0, 1, 3, 2]])
    assert batch.in_batch_p_at_1(block_bytes) == 0.5


@pytest.mark.parametrize("block_bytes", [1, 2**20])
def test_copies_of_a_target_that_tie_are_no_errors_of_in_batch_p_at_1(block_bytes: int) -> None:
    # Pairs 0, 1 and 3 are copies of one, so that their vectors are equal.
    batch = batch_of([0, 0, 2, 0], [1, 1, 3, 1])
    embeddings = torch.eye(4)[[0, 0, 2, 0]]
    small = options(4, block_bytes)
    result = ranking_loss(embeddings, embeddings, None, batch, small)
    assert result.in_batch_p_at_1(block_bytes) == 1.0
    assert batch.num_distinct == 2
    # A wrong neighbour still is one.
    result = ranking_loss(embeddings, torch.eye(4)[[0, 0, 1, 0]], None, batch, small)
    assert result.in_batch_p_at_1(block_bytes) == 0.75


def test_the_mean_cosine_is_1_for_equal_vectors_and_1_in_n_for_orthogonal_ones() -> None:
    zero, eye = torch.zeros(()), torch.eye(4)
    assert BatchLoss(zero, zero, eye, eye).mean_cosine == pytest.approx(0.25)
    assert BatchLoss(zero, zero, eye, eye[[1, 1, 1, 1]]).mean_cosine == pytest.approx(1)
