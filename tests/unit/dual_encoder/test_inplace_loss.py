"""One matrix and one exponential an entry give the plain loss, in value and gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from labse.dual_encoder.inplace_loss import inplace_additive_margin_softmax, is_in_range
from labse.dual_encoder.loss import additive_margin_softmax


def sides(rows: int, seed: int, *, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    both = torch.randn(2, rows, 16, generator=generator, dtype=torch.float64)
    return [F.normalize(side, dim=-1).to(dtype).requires_grad_() for side in both]


def results(loss: object, pair: list[torch.Tensor], **options: object) -> list[torch.Tensor]:
    value = loss(*pair, **options)  # type: ignore[operator]
    (3 * value).backward()
    gradients = [side.grad for side in pair]
    for side in pair:
        side.grad = None
    return [value.detach(), *(gradient for gradient in gradients if gradient is not None)]


@given(
    rows=st.integers(1, 40),
    seed=st.integers(0, 2**16),
    scale=st.floats(0.5, 30),
    margin=st.floats(0, 0.6),
)
def test_value_and_gradients_equal_those_of_the_plain_loss(
    rows: int, seed: int, scale: float, margin: float
) -> None:
    pair = sides(rows, seed)
    options = {"logit_scale": scale, "logit_margin": margin}
    expected = results(additive_margin_softmax, pair, **options)
    found = results(inplace_additive_margin_softmax, pair, **options)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_loss_of_float32_sides_at_the_end_of_the_range_is_that_in_float64() -> None:
    # All true pairs point away from each other, all others too: the smallest exponentials.
    row = F.normalize(torch.ones(1, 16), dim=-1)
    source, target = row.expand(8, -1), -row.expand(8, -1)
    scale, margin = 32.0, 0.5
    assert is_in_range(scale, margin)
    options = {"logit_scale": scale, "logit_margin": margin}
    found = inplace_additive_margin_softmax(source, target, **options)
    expected = additive_margin_softmax(source.double(), target.double(), **options)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_narrow_products_leave_the_value_and_turn_gradients_little() -> None:
    pair = sides(64, 0, dtype=torch.float32)
    options = {"logit_scale": 20.0, "logit_margin": 0.5}
    expected = results(inplace_additive_margin_softmax, pair, **options)
    found = results(inplace_additive_margin_softmax, pair, gradient_dtype=torch.bfloat16, **options)
    assert found[0] == expected[0]
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert one.dtype == torch.float32
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.9999
        assert not torch.equal(one, other)


@pytest.mark.parametrize(("scale", "margin"), [(100.0, 0.3), (32.0, 0.51)])
def test_a_scale_whose_exponentials_could_vanish_is_refused(scale: float, margin: float) -> None:
    assert not is_in_range(scale, margin)
    with pytest.raises(ValueError, match="too large"):
        inplace_additive_margin_softmax(*sides(2, 0), logit_scale=scale, logit_margin=margin)


def test_sides_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 16\).*\(3, 16\)"):
        inplace_additive_margin_softmax(
            sides(4, 0)[0], sides(3, 0)[0], logit_scale=20.0, logit_margin=0.1
        )
