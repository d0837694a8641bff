import pytest
import torch

from labse.network.dropout import Dropout, dropout

TYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("prob", [0.1, 0.5])
def test_a_share_of_prob_becomes_zero_and_the_rest_is_scaled(
    prob: float, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    dropped = dropout(torch.ones(400, 501, dtype=dtype), prob, is_training=True)
    assert dropped.dtype == dtype
    is_zero = dropped == 0
    assert is_zero.float().mean().item() == pytest.approx(prob, abs=0.005)
    assert dropped[~is_zero].unique().tolist() == [pytest.approx(1 / (1 - prob), rel=4e-3)]
    # Neither rows nor columns share their fate.
    assert is_zero.float().mean(0).max() < prob + 0.15
    assert is_zero.float().mean(1).max() < prob + 0.15


def test_the_mean_stays() -> None:
    torch.manual_seed(1)
    values = torch.full((1000, 1000), 3.0)
    assert dropout(values, 0.3, is_training=True).mean().item() == pytest.approx(3.0, abs=0.01)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_gradient_has_the_mask_and_the_scale_of_the_values(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    values = torch.ones(7, 13, 3, dtype=dtype, requires_grad=True)
    dropped = dropout(values, 0.25, is_training=True)
    dropped.backward(torch.ones_like(dropped))
    assert torch.equal(values.grad, dropped.detach())
    assert (dropped == 0).any()


def test_a_transposed_input_is_dropped_in_its_own_shape() -> None:
    torch.manual_seed(3)
    values = torch.arange(1.0, 13.0).reshape(3, 4).T.requires_grad_()
    dropped = dropout(values, 0.5, is_training=True)
    kept = dropped != 0
    assert torch.allclose(dropped[kept], 2 * values[kept], rtol=1e-3)
    dropped.sum().backward()


def test_masks_are_a_function_of_the_global_generator() -> None:
    values = torch.ones(100)
    torch.manual_seed(4)
    first, second = (dropout(values, 0.5, is_training=True) for _ in range(2))
    torch.manual_seed(4)
    again = dropout(values, 0.5, is_training=True)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_outside_of_training_nothing_happens_and_nothing_is_drawn() -> None:
    values, before = torch.ones(5), torch.get_rng_state()
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0).train()(values) is values
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(Dropout(0.5).train()(torch.ones(100)), torch.ones(100))
