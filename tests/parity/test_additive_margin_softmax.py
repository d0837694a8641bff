"""The loss against a float64 double loop, in value and in gradient (by finite differences)."""

import math

import numpy as np
import pytest
import torch

from labse.dual_encoder.loss import additive_margin_softmax


def double_loop_loss(source: np.ndarray, target: np.ndarray, scale: float, margin: float) -> float:
    """Equations 2 to 4 of the paper, one term at a time."""
    size = len(source)

    def phi(i: int, j: int) -> float:
        return float(source[i] @ target[j]) - (margin if i == j else 0.0)

    total = 0.0
    for i in range(size):
        forward = sum(math.exp(scale * phi(i, j)) for j in range(size))
        backward = sum(math.exp(scale * phi(j, i)) for j in range(size))
        total -= math.log(math.exp(scale * phi(i, i)) / forward) / size
        total -= math.log(math.exp(scale * phi(i, i)) / backward) / size
    return total


def unit_rows(seed: int, rows: int, width: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(rows, width))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize(("scale", "margin"), [(100.0, 0.3), (20.0, 0.1), (1.0, 0.0)])
def test_value_equals_the_double_loop(scale: float, margin: float) -> None:
    source, target = unit_rows(1, 7, 5), unit_rows(2, 7, 5)
    loss = additive_margin_softmax(
        torch.from_numpy(source), torch.from_numpy(target), logit_scale=scale, logit_margin=margin
    )
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(double_loop_loss(source, target, scale, margin), rel=1e-12)


def test_gradient_equals_central_differences_of_the_double_loop() -> None:
    scale, margin, step = 20.0, 0.3, 1e-6
    source, target = unit_rows(3, 4, 3), unit_rows(4, 4, 3)
    tensors = [torch.from_numpy(side).requires_grad_() for side in (source, target)]
    loss = additive_margin_softmax(*tensors, logit_scale=scale, logit_margin=margin)
    loss.backward()

    for side, tensor in enumerate(tensors):
        for index in np.ndindex(source.shape):
            shifted = []
            for sign in (1, -1):
                sides = [source.copy(), target.copy()]
                sides[side][index] += sign * step
                shifted.append(double_loop_loss(*sides, scale, margin))
            expected = (shifted[0] - shifted[1]) / (2 * step)
            # Central differences of a float64 function are good to about step^2 + 1e-16 / step.
            assert tensor.grad[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)
