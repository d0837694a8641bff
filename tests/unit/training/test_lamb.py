import math

import numpy as np
import torch

from labse.training.checkpoint import load_optimizer_tensors, optimizer_tensors
from labse.training.lamb import Lamb


def test_two_steps_equal_the_formula_written_out() -> None:
    weight = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    optimizer = Lamb([{"params": [weight], "weight_decay": 0.1}], lr=0.01, eps=1e-6)
    expected, m, v = np.array([3.0, 4.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate((np.array([1.0, -2.0]), np.array([0.5, 0.25])), start=1):
        weight.grad = torch.from_numpy(gradient)[None]
        optimizer.step()
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        r = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-6) + 0.1 * expected
        expected = expected - 0.01 * math.hypot(*expected) / math.hypot(*r) * r
        np.testing.assert_allclose(weight.detach().numpy()[0], expected, rtol=1e-12)


def test_a_weight_of_zeros_moves_as_with_adam() -> None:
    weights = [torch.zeros(3, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.tensor([1.0, -1.0, 0.5])
    Lamb([{"params": [weights[0]], "weight_decay": 0.0}], lr=0.1).step()
    torch.optim.Adam([weights[1]], lr=0.1, eps=1e-6).step()
    torch.testing.assert_close(weights[0], weights[1])


def test_its_state_goes_through_a_checkpoint() -> None:
    def build() -> tuple[torch.Tensor, Lamb]:
        weight = torch.ones(4, requires_grad=True)
        return weight, Lamb([{"params": [weight], "weight_decay": 0.0}], lr=0.1)

    straight, first = build()
    for step in range(4):
        straight.grad = torch.arange(4.0) - step
        first.step()
        if step == 1:
            resumed, second = build()
            resumed.data.copy_(straight.data)
            saved = {name: t.clone() for name, t in optimizer_tensors(first, "o").items()}
            load_optimizer_tensors(second, saved, "o")
    for step in (2, 3):
        resumed.grad = torch.arange(4.0) - step
        second.step()
    assert torch.equal(resumed, straight)
