"""The blockwise loss equals the plain one, in value and gradient, masks included."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from labse.dual_encoder.blockwise import (
    blockwise_additive_margin_softmax,
    blockwise_cross_entropy,
    num_rows,
)
from labse.dual_encoder.false_negatives import FalseNegatives
from labse.dual_encoder.loss import additive_margin_softmax

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def unit(rows: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return F.normalize(values, dim=-1).to(dtype).requires_grad_()


def bytes_of_rows(rows: int, columns: int, dtype: torch.dtype = torch.float64) -> int:
    return rows * columns * dtype.itemsize


@settings(deadline=None, max_examples=40)
@given(
    pairs=st.integers(1, 13),
    rows=st.integers(1, 14),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from(list(TOLERANCES)),
    distinct=st.none() | st.integers(1, 20),
    max_excess=st.none() | st.floats(0, 1),
)
def test_value_and_gradient_equal_those_of_the_plain_loss(
    pairs: int,
    rows: int,
    seed: int,
    dtype: torch.dtype,
    distinct: int | None,
    max_excess: float | None,
) -> None:
    sentences = None
    if distinct is not None:
        generator = torch.Generator().manual_seed(seed)
        sentences = torch.randint(distinct, (pairs, 2), generator=generator)
    filter_ = FalseNegatives(sentences, max_excess)
    settings_ = {"logit_scale": 20.0, "logit_margin": 0.3}

    plain_sides = [unit(pairs, seed, dtype), unit(pairs, seed + 1, dtype)]
    cosines, labels = plain_sides[0] @ plain_sides[1].T, torch.arange(pairs)
    masks = (filter_.mask(cosines.detach(), labels), filter_.mask(cosines.detach().T, labels))
    plain = additive_margin_softmax(*plain_sides, **settings_, masks=masks)
    (3 * plain).backward()

    sides = [side.detach().clone().requires_grad_() for side in plain_sides]
    result = blockwise_additive_margin_softmax(
        *sides,
        **settings_,
        max_block_bytes=bytes_of_rows(rows, pairs, dtype),
        false_negatives=(filter_, filter_),
    )
    (3 * result.loss).backward()

    tolerance = TOLERANCES[dtype]
    assert result.loss.dtype == dtype
    assert result.loss.item() == pytest.approx(plain.item(), rel=tolerance, abs=tolerance)
    assert result.num_false_negatives.item() == sum(mask.sum().item() for mask in masks)
    for ours, theirs in zip(sides, plain_sides, strict=True):
        # Gradients are of the size of the scale, 20.
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=tolerance, atol=20 * tolerance)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 100])
def test_more_candidates_than_queries_are_ranked_by_the_index_of_each_positive(rows: int) -> None:
    positives = torch.tensor([7, 2, 2, 0, 8])
    query, candidate = unit(5, 1), unit(9, 2)
    shifted = 20.0 * (query @ candidate.T - 0.3 * F.one_hot(positives, 9).double())
    F.cross_entropy(shifted, positives).backward()

    ours = [side.detach().clone().requires_grad_() for side in (query, candidate)]
    direction = blockwise_cross_entropy(
        *ours,
        positives,
        logit_scale=20.0,
        logit_margin=0.3,
        max_block_bytes=bytes_of_rows(rows, 9),
    )
    direction.loss.backward()
    assert direction.loss.item() == pytest.approx(F.cross_entropy(shifted, positives).item())
    for mine, theirs in zip(ours, (query, candidate), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-10)


def test_its_gradient_is_that_of_finite_differences() -> None:
    def loss(query: torch.Tensor, candidate: torch.Tensor) -> torch.Tensor:
        return blockwise_cross_entropy(
            query,
            candidate,
            torch.tensor([3, 0, 1]),
            logit_scale=5.0,
            logit_margin=0.1,
            max_block_bytes=bytes_of_rows(2, 4),
        ).loss

    assert torch.autograd.gradcheck(loss, (unit(3, 1), unit(4, 2)))


@pytest.mark.parametrize(("max_bytes", "rows"), [(1, 1), (79, 1), (80, 1), (160, 2), (239, 2)])
def test_a_block_is_the_rows_that_fit_and_one_at_least(max_bytes: int, rows: int) -> None:
    assert num_rows(20, 4, max_bytes) == rows


def test_no_tensor_larger_than_a_block_is_made_on_either_way() -> None:
    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        """Sees every tensor that an operation gives."""

        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
            result = func(*args, **(kwargs or {}))
            for value in result if isinstance(result, tuple) else (result,):
                if isinstance(value, torch.Tensor):
                    self.largest = max(self.largest, value.numel())
            return result

    source, target = unit(60, 1), unit(60, 2)
    with Largest() as seen:
        blockwise_additive_margin_softmax(
            source,
            target,
            logit_scale=20.0,
            logit_margin=0.3,
            max_block_bytes=bytes_of_rows(7, 60),
            false_negatives=(FalseNegatives(torch.arange(120).reshape(60, 2), 0.5),) * 2,
        ).loss.backward()
    assert seen.largest == 7 * 60


def test_sides_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(3, 6\)"):
        blockwise_additive_margin_softmax(
            unit(4, 0), unit(3, 0), logit_scale=1, logit_margin=0, max_block_bytes=8
        )
