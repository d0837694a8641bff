"""The state of a run between two updates, to a checkpoint and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.model import DualEncoder
from labse.errors import UsageError
from labse.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)

__all__ = ["RunState", "load_run_state", "save_run_state"]

_MODEL_PREFIX = "model."
_LOSSES = "metrics.losses"
# They say what is written when, and no weight depends on them.
_MAY_CHANGE = ("train.log_every", "train.eval_every", "train.checkpoint_every")


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands, beside its model, optimizers and generators.

    Attributes:
        step: updates done.
        losses: of the updates since the last logged row, which the next row takes the mean of.
    """

    step: int
    losses: Sequence[float]


def save_run_state(
    run_folder: Path,
    config: RunConfig,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
    state: RunState,
) -> None:
    """Writes a checkpoint to `run_folder/checkpoints`.

    Raises:
        ResourceError: it cannot be written; older ones are intact.
    """
    tensors = {f"{_MODEL_PREFIX}{name}": tensor for name, tensor in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        tensors |= optimizer_tensors(optimizer, f"optimizer{number}")
    tensors[_LOSSES] = torch.tensor(state.losses, dtype=torch.float64)
    tensors["generator.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["generator.cuda"] = torch.cuda.get_rng_state()
    checkpoint = Checkpoint(state.step, tensors, config.model_dump(mode="json"))
    save_checkpoint(run_folder / "checkpoints", checkpoint)


def load_run_state(
    run_folder: Path,
    config: RunConfig,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
) -> RunState:
    """Restores the newest checkpoint, if there is one, into model, optimizers and generators.

    Raises:
        UsageError: it is of a configuration with other values, log_every and its like aside.
        LabseError: it is damaged.
    """
    checkpoint = latest_checkpoint(run_folder / "checkpoints")
    if checkpoint is None:
        return RunState(0, [])
    if changed := _differences(checkpoint.config, config.model_dump(mode="json")):
        raise UsageError(
            f"{run_folder} holds a run of another configuration ({'; '.join(changed)}); "
            "use these values or another --out"
        )
    tensors = checkpoint.tensors
    model.load_state_dict(
        {
            name.removeprefix(_MODEL_PREFIX): tensor
            for name, tensor in tensors.items()
            if name.startswith(_MODEL_PREFIX)
        }
    )
    for number, optimizer in enumerate(optimizers):
        load_optimizer_tensors(optimizer, tensors, f"optimizer{number}")
    torch.set_rng_state(tensors["generator.cpu"])
    if "generator.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generator.cuda"])
    # Checkpoints before 2026-11-22 hold no losses.
    losses = tensors[_LOSSES].tolist() if _LOSSES in tensors else []
    return RunState(checkpoint.step, losses)


def _differences(before: object, now: object, name: str = "") -> list[str]:
    """Names the keys that differ and may not, as `train.lr: 0.1 -> 0.2`."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            difference
            for key in sorted(before.keys() | now.keys())
            for difference in _differences(
                before.get(key), now.get(key), f"{name}.{key}".strip(".")
            )
        ]
    return [] if before == now or name in _MAY_CHANGE else [f"{name}: {before} -> {now}"]
