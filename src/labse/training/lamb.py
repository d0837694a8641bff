"""LAMB: Adam whose step is as long as each weight matrix deserves.

Source: You et al., "Large Batch Optimization for Deep Learning", arXiv 1904.00962, algorithm 2.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Lamb"]


class Lamb(torch.optim.Optimizer):
    """Layer-wise scaled Adam with decoupled weight decay.

        r = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay * w
        w <- w - lr * |w| / |r| * r            with |w| / |r| = 1 where either norm is 0

    Args:
        params: groups with `params` and `weight_decay`; each tensor is a layer.
        lr: learning rate.
        betas: decay of the moments.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[Mapping[str, object]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0}
        super().__init__([dict(group) for group in params], defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates each tensor that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: Tensor, group: Mapping[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        step = state["step"].item()
        state["exp_avg"].lerp_(weight.grad, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)

        root = (state["exp_avg_sq"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        direction = (state["exp_avg"] / (1 - beta1**step)).div_(root)
        direction.add_(weight, alpha=group["weight_decay"])
        norms = weight.norm(), direction.norm()
        # On the device: a number read back would wait for each weight.
        ratio = torch.where((norms[0] > 0) & (norms[1] > 0), norms[0] / norms[1], 1.0)
        weight.sub_(direction * (ratio * group["lr"]))
