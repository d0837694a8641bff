"""Optimizers that do without torch's compiler, which labse does not use.

Takes: a class of optimizers. Gives: the same arithmetic, without `torch._dynamo`.
Source: the wrappers in torch/optim/optimizer.py.

torch.optim imports torch._dynamo when an optimizer is made and at each step of its AdamW, only to
give the compiler hints. With all that it brings, that takes 1.9 s of each start (torch 2.13, on
2026-11-30), as long as torch itself.
"""

import inspect
from typing import TypeVar

import torch

__all__ = ["AdamW", "without_compiler"]

O = TypeVar("O", bound=type[torch.optim.Optimizer])  # noqa: E741 - the optimizer's class


def without_compiler(optimizer: O) -> O:
    """Takes the compiler's wrapper off the methods that a class inherits; decorates the class."""
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        setattr(optimizer, name, inspect.unwrap(getattr(optimizer, name)))
    return optimizer


@without_compiler
class AdamW(torch.optim.AdamW):
    """torch's AdamW (Loshchilov and Hutter, arXiv 1711.05101)."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
