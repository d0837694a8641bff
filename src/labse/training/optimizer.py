"""AdamW or LAMB for dense weights, row-wise AdaGrad or AdamW for sparse tables, and their rate.

Dimensions: V rows of a table, U rows that a step touches, H hidden.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from labse.training.distributed import SINGLE, Processes
from labse.training.eager import AdamW, without_compiler
from labse.training.lazy_adamw import LazyAdamW, sparse_gradients
from labse.training.sharding import is_part

__all__ = [
    "Lamb",
    "RowwiseAdagrad",
    "build_optimizers",
    "clip_gradients",
    "linear_schedule",
    "set_lr_share",
    "settle",
]


@without_compiler
class RowwiseAdagrad(torch.optim.Optimizer):
    """AdaGrad with one accumulator a row, on the rows that have a gradient.

        G_v <- G_v + mean_h(g_vh^2)        w_v <- w_v - lr * g_v / (sqrt(G_v) + eps)

    A step reads and writes the U rows of its batch, not the V of the table, and the state is V
    numbers. Rare pieces keep a high rate. Source: Duchi et al. 2011, with the row-wise accumulator
    of recommender systems (Mudigere et al., arXiv 2104.05158). On a bag of pieces it
    reached a lower loss than lazy Adam at equal steps (docs/experiments.md, 2026-11-22).

    Args:
        params: tables with sparse gradients, (V, H) each.
    """

    def __init__(self, params: Iterable[Tensor], *, lr: float, eps: float = 1e-8) -> None:
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates each table from its sparse gradient.

        Raises:
            ValueError: a gradient is dense.
        """
        for group, table, rows_U, values_UH in sparse_gradients(self):
            if not self.state[table]:
                self.state[table]["sum_V"] = table.new_zeros(len(table))
            sum_V = self.state[table]["sum_V"]
            sum_V[rows_U] += values_UH.square().mean(1)
            rates_U1 = (group["lr"] / (sum_V[rows_U].sqrt() + group["eps"])).unsqueeze(1)
            table.index_add_(0, rows_U, values_UH * rates_U1, alpha=-1)


def build_optimizers(
    model: nn.Module,
    *,
    lr: float,
    embedding_lr: float,
    weight_decay: float,
    eps: float,
    embedding_optimizer: Literal["adagrad", "adamw"] = "adagrad",
) -> list[torch.optim.Optimizer]:
    """Returns AdamW, and one for the tables with sparse gradients if there are any.

    That is RowwiseAdagrad, which decays nothing, or LazyAdamW with the decay and eps of the rest.
    Biases and layer norms (one dimension) are not decayed, as in BERT's optimization.py.
    """
    # Tables with sparse gradients have an optimizer of their own.
    tables = [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Embedding) and module.sparse and module.weight.requires_grad
    ]
    dense = [
        parameter
        for parameter in model.parameters()
        if parameter.requires_grad and not any(parameter is table for table in tables)
    ]

    # All else is AdamW's; biases and norms do not decay.
    groups = [
        {"params": [p for p in dense if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in dense if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [AdamW(groups, lr=lr, eps=eps, fused=True)]
    if tables and embedding_optimizer == "adamw":
        optimizers.append(LazyAdamW(tables, lr=embedding_lr, eps=eps, weight_decay=weight_decay))
    elif tables:
        optimizers.append(RowwiseAdagrad(tables, lr=embedding_lr))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def settle(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Applies the updates that an optimizer which works row by row has put off."""
    for optimizer in optimizers:
        if isinstance(optimizer, LazyAdamW):
            optimizer.settle()


def set_lr_share(optimizers: Sequence[torch.optim.Optimizer], share: float) -> None:
    """Sets each rate to `share` of the one its optimizer was built with."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share


@torch.no_grad()
def clip_gradients(
    parameters: Iterable[Tensor], max_norm: float, processes: Processes = SINGLE
) -> float:
    """Scales all gradients, sparse ones too, so that their global norm is at most `max_norm`.

    Returns the norm before. Sparse gradients are coalesced in passing, which their norm needs. Of
    sharded weights each process has a part of the gradient, and `processes` add up the norm.
    """
    # Whole gradients, and those of which each process has a part.
    with_gradient = [p for p in parameters if p.grad is not None]
    values: list[Tensor] = []
    parts: list[Tensor] = []
    for parameter in with_gradient:
        gradient = parameter.grad
        assert gradient is not None
        if gradient.is_sparse:
            parameter.grad = gradient = gradient.coalesce()
            values.append(gradient.values())
        elif is_part(gradient):
            parts.append(gradient.to_local())
        else:
            values.append(gradient)

    # The norm of all, and a scale where it is too large.
    norms = _norms(values)
    if parts:
        norms.append(math.sqrt(processes.add([math.hypot(*_norms(parts)) ** 2])[0]))
    norm = math.hypot(*norms)
    if norm > max_norm:
        for value in values + parts:
            value.mul_(max_norm / norm)
    return norm


def _norms(tensors: Sequence[Tensor]) -> list[float]:
    """Returns the norm of each tensor; they leave the device together, with one wait for all."""
    # Rows first, in their own type: a table cast to float64 would take four times as long.
    rows = [torch.linalg.vector_norm(tensor, dim=-1) for tensor in tensors]
    norms = [torch.linalg.vector_norm(row, dtype=torch.float64) for row in rows]
    return torch.stack(norms).tolist() if norms else []


@without_compiler
class Lamb(torch.optim.Optimizer):
    """Layer-wise scaled Adam with decoupled weight decay.

        r = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay * w
        w <- w - lr * |w| / |r| * r            with |w| / |r| = 1 where either norm is 0

    Args:
        params: groups with `params` and `weight_decay`; each tensor is a layer.
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


def linear_schedule(step: int, *, warmup_steps: int, train_steps: int) -> float:
    """Returns the share of the full rate for update `step` (from 0): warm-up times decay.

        min(1, (step + 1) / warmup_steps) * (1 - step / train_steps)

    The last update, `train_steps` - 1, still moves: the rate reaches 0 one step later. The decay is
    that of BERT's optimization.py (polynomial, power 1); there a step of the warm-up has the first
    factor alone.
    """
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * max(0.0, 1.0 - step / train_steps)
