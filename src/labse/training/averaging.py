"""The mean of the weights of a run's last checkpoints."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["WeightSum", "averaged_steps"]


def averaged_steps(num_checkpoints: int, *, checkpoint_every: int, train_steps: int) -> list[int]:
    """Returns the last steps that are multiples of `checkpoint_every`, or the end of the run.

    The last alone needs no mean, so for one checkpoint there are no steps.

    A checkpoint that a stop makes in between is none of them, so a run that was stopped averages
    what one that was not does.

    Raises:
        ValueError: the run has fewer.
    """
    steps = [*range(checkpoint_every, train_steps, checkpoint_every), train_steps]
    if num_checkpoints > len(steps):
        raise ValueError(f"the mean of {num_checkpoints} checkpoints, but the run has {len(steps)}")
    return steps[-num_checkpoints:] if num_checkpoints > 1 else []


class WeightSum:
    """Sums the weights of a model at some of its steps.

    Source: Polyak and Juditsky 1992; the mean of the last checkpoints, as in Vaswani et al. 2017,
    section 6.1.

    Attributes:
        tensors: the sums by name, empty before the first; all that a checkpoint need hold.
    """

    def __init__(self, tensors: Mapping[str, Tensor] | None = None) -> None:
        self.tensors = dict(tensors or {})

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Adds the weights of `model` as they are now."""
        for name, tensor in model.state_dict().items():
            if name in self.tensors:
                self.tensors[name] += tensor.to(self.tensors[name].device)
            else:
                self.tensors[name] = tensor.clone()

    def mean(self, count: int) -> dict[str, Tensor]:
        """Returns the mean of `count` summands by name."""
        return {name: tensor / count for name, tensor in self.tensors.items()}
