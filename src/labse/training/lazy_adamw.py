"""AdamW for embedding tables with sparse gradients: a step costs the rows that it touches.

Dimensions: V rows of a table, U rows that a step touches, H hidden.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from labse.training.eager import without_compiler

__all__ = ["LazyAdamW", "sparse_gradients"]


@without_compiler
class LazyAdamW(torch.optim.Optimizer):
    """AdamW that updates a row when it has a gradient and catches up then on what it missed.

    For a row untouched for k steps before step t, with gradient g now:

        m <- b1^(k + 1) m + (1 - b1) g        v <- b2^(k + 1) v + (1 - b2) g^2
        w <- w prod(1 - lr_s * decay) - lr_t (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    with the product over the steps s from the one after the row's last to t. Moments, bias
    correction and decay are so those of dense AdamW (Loshchilov and Hutter, arXiv 1711.05101).
    Two things are not: the small moves that dense AdamW makes by old momentum while a row has no
    gradient are left out, as in torch.optim.SparseAdam; and between touches the row is read before
    the decay it missed, which `settle` applies to all rows. A row that every step touches has
    neither, and gets the numbers of dense AdamW.

    Args:
        params: tables with sparse gradients, (V, H) each.
        weight_decay: a step decays a weight by lr times this.

    Raises:
        ValueError: a step would decay more than the whole weight.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if lr * weight_decay >= 1:
            raise ValueError(f"lr {lr} times weight_decay {weight_decay} is not below 1")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Updates each table from its sparse gradient.

        Raises:
            ValueError: a gradient is dense.
        """
        for group, table, rows_U, gradient_UH in sparse_gradients(self):
            self._update(table, rows_U, gradient_UH, group)

    def _update(
        self, table: Tensor, rows_U: Tensor, gradient_UH: Tensor, group: dict[str, Any]
    ) -> None:
        state = self._state(table)
        state["step"] += 1
        step = state["step"].item()
        log_decay = math.log1p(-group["lr"] * group["weight_decay"])
        _add(state["log_decay"], state["log_decay_rest"], log_decay)

        (beta1, beta2), lr = group["betas"], group["lr"]
        missed_U1 = (step - state["last_V"][rows_U]).unsqueeze(1)
        mean_UH = state["exp_avg_VH"][rows_U] * beta1**missed_U1 + gradient_UH * (1 - beta1)
        square_UH = state["exp_avg_sq_VH"][rows_U] * beta2**missed_U1
        square_UH += gradient_UH.square() * (1 - beta2)
        state["exp_avg_VH"][rows_U] = mean_UH
        state["exp_avg_sq_VH"][rows_U] = square_UH

        decayed_UH = table[rows_U] * _decay(state, rows_U)
        root_UH = (square_UH / (1 - beta2**step)).sqrt() + group["eps"]
        table[rows_U] = decayed_UH - lr / (1 - beta1**step) * mean_UH / root_UH
        state["last_V"][rows_U] = step
        state["log_decay_V"][rows_U] = state["log_decay"]

    @torch.no_grad()
    def settle(self) -> None:
        """Applies to every row the decay that it missed since its last touch."""
        for group in self.param_groups:
            for table in group["params"]:
                state = self.state.get(table)
                if state and group["weight_decay"]:
                    table *= _decay(state, slice(None))
                    state["log_decay_V"].fill_(state["log_decay"])

    def _state(self, table: Tensor) -> dict[str, Tensor]:
        # All in the table's type: torch casts what it loads to that, except what is named "step".
        # float32 counts to 16.7 million steps.
        state: dict[str, Tensor] = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float64)
            state["log_decay"] = table.new_zeros(())  # Sum over all steps of log(1 - lr * decay),
            state["log_decay_V"] = table.new_zeros(len(table))  # and where a row last stood in it.
            state["last_V"] = table.new_zeros(len(table))  # Step of a row's last touch.
            state["exp_avg_VH"] = torch.zeros_like(table)
            state["exp_avg_sq_VH"] = torch.zeros_like(table)
        # What of the sum its type cannot hold; checkpoints before 2026-11-23 are without.
        state.setdefault("log_decay_rest", table.new_zeros(()))
        return state


def sparse_gradients(
    optimizer: torch.optim.Optimizer,
) -> Iterator[tuple[dict[str, Any], Tensor, Tensor, Tensor]]:
    """Yields the group and table of each gradient, its U rows and their (U, H) values.

    Raises:
        ValueError: a gradient is dense.
    """
    for group in optimizer.param_groups:
        for table in group["params"]:
            if table.grad is None:
                continue
            if not table.grad.is_sparse:
                raise ValueError(f"{type(optimizer).__name__} takes tables with sparse gradients")
            gradient = table.grad.coalesce()
            yield group, table, gradient.indices()[0], gradient.values()


def _add(total: Tensor, rest: Tensor, number: float) -> None:
    """Adds a small number to a large sum: in float32 alone, a millionth of it would be lost."""
    wide = total.double() + rest.double() + number
    total.copy_(wide)
    rest.copy_(wide - total.double())


def _decay(state: dict[str, Tensor], rows: Tensor | slice) -> Tensor:
    return (state["log_decay"] - state["log_decay_V"][rows]).exp().unsqueeze(1)
