import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from labse.dual_encoder.loss import additive_margin_softmax


def unit(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, 6, generator=generator, dtype=torch.float64), dim=-1)


def loss(source: torch.Tensor, target: torch.Tensor, margin: float = 0.3) -> float:
    return additive_margin_softmax(source, target, logit_scale=20.0, logit_margin=margin).item()


def test_two_orthogonal_pairs_give_the_hand_computed_loss() -> None:
    # cos = 1 on the diagonal, 0 beside it; margin 0.3 inside a scale of 20:
    # each row costs log(1 + exp(20 * (0 - 0.7))), and there are two directions.
    eye = torch.eye(2, dtype=torch.float64)
    expected = 2 * torch.log1p(torch.exp(torch.tensor(-14.0, dtype=torch.float64)))
    assert loss(eye, eye) == pytest.approx(expected.item(), rel=1e-12)


def test_directions_are_summed_not_averaged() -> None:
    # One pair of identical vectors among B equal rows: every logit equal without a margin,
    # so each direction costs log B.
    same = F.normalize(torch.ones(8, 6, dtype=torch.float64), dim=-1)
    expected = 2 * torch.log(torch.tensor(8.0, dtype=torch.float64)).item()
    assert loss(same, same, margin=0.0) == pytest.approx(expected)


@given(rows=st.integers(1, 9), seed=st.integers(0, 2**16))
def test_swapping_the_sides_changes_nothing(rows: int, seed: int) -> None:
    source, target = unit(rows, seed), unit(rows, seed + 1)
    assert loss(source, target) == pytest.approx(loss(target, source), rel=1e-12)


@given(rows=st.integers(2, 9), seed=st.integers(0, 2**16))
def test_permuting_the_pairs_changes_nothing(rows: int, seed: int) -> None:
    source, target = unit(rows, seed), unit(rows, seed + 1)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    assert loss(source, target) == pytest.approx(loss(source[order], target[order]), rel=1e-12)


@given(rows=st.integers(2, 9), seed=st.integers(0, 2**16), margin=st.floats(0.01, 1.0))
def test_a_margin_never_lowers_the_loss(rows: int, seed: int, margin: float) -> None:
    source, target = unit(rows, seed), unit(rows, seed + 1)
    assert loss(source, target, margin) >= loss(source, target, 0.0)


def test_a_single_pair_costs_nothing() -> None:
    assert loss(unit(1, 0), unit(1, 1)) == 0.0


def test_half_precision_inputs_give_a_float32_loss() -> None:
    source = unit(4, 0).bfloat16()
    assert (
        additive_margin_softmax(source, source, logit_scale=20, logit_margin=0.1).dtype
        == torch.float32
    )


def test_sides_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(3, 6\)"):
        loss(unit(4, 0), unit(3, 0))
