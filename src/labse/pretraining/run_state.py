"""The state of a pre-training run between two updates, to a checkpoint and back."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from labse.errors import LabseError
from labse.pretraining.config import PretrainConfig
from labse.pretraining.model import MaskedLm
from labse.training.checkpoint import (
    Checkpoint,
    check_complete,
    find_not_finite,
    generator_tensors,
    latest_checkpoint,
    latest_config,
    load_optimizer_tensors,
    optimizer_tensors,
    restore_generators,
    save_checkpoint,
)
from labse.training.distributed import SINGLE, Processes
from labse.training.run_folder import refuse_changes
from labse.training.sharding import load_state, whole_state

__all__ = ["check_unchanged", "load_checkpoint", "restore_state", "save_state"]

_MODEL_PREFIX = "model."
_OPTIMIZER = "optimizer"
_HISTORY = "metrics.history"
# They say what is written when, or how much is computed at once. With another micro-batch dropout
# draws other masks, as with another number of processes; all else stays the same.
_MAY_CHANGE = tuple(
    f"train.{name}"
    for name in (
        "log_every",
        "eval_every",
        "checkpoint_every",
        "micro_batch_size",
        "max_logits_bytes",
        "peak_tflops",
        "shard",
    )
)


def save_state(
    run_folder: Path,
    config: PretrainConfig,
    step: int,
    model: MaskedLm,
    optimizer: torch.optim.Optimizer,
    history: Sequence[Sequence[float]],
    processes: Processes = SINGLE,
) -> None:
    """Writes a checkpoint to `run_folder/checkpoints`; of several processes, the main one does.

    Args:
        run_folder: of the run.
        config: of the run.
        step: updates done.
        model: of the stage at hand.
        optimizer: with the moments of this stage.
        history: loss and accuracy of the updates since the last logged row.
        processes: of the run.

    Raises:
        LabseError: a number is not finite; nothing is written.
        ResourceError: it cannot be written; older ones are intact.
    """
    weights = whole_state(model, processes)
    tensors = {f"{_MODEL_PREFIX}{name}": tensor for name, tensor in weights.items()}
    tensors |= optimizer_tensors(optimizer, _OPTIMIZER, processes)
    tensors[_HISTORY] = torch.tensor(list(history), dtype=torch.float64).reshape(-1, 2)
    tensors |= generator_tensors(processes)
    if not processes.is_main:
        return
    if name := find_not_finite(tensors):
        raise LabseError(
            f"step {step}: {name!r} holds NaN or infinite values; checkpoints before it are "
            "intact; start anew in another --out with a lower train.lr"
        )
    checkpoint = Checkpoint(step, tensors, config.model_dump(mode="json"))
    save_checkpoint(run_folder / "checkpoints", checkpoint)


def check_unchanged(run_folder: Path, config: PretrainConfig) -> None:
    """Tells of a changed configuration as `load_checkpoint` does, before any work.

    Raises:
        UsageError: there is a checkpoint of a configuration with other values.
        LabseError: it is damaged.
    """
    before = latest_config(run_folder / "checkpoints")
    if before is not None:
        refuse_changes(run_folder, before, config.model_dump(mode="json"), may_change=_MAY_CHANGE)


def load_checkpoint(run_folder: Path, config: PretrainConfig) -> Checkpoint | None:
    """Returns the newest checkpoint, None if there is none.

    Raises:
        UsageError: it is of a configuration with other values; the message lists them.
        LabseError: it is damaged, or a number in it is not finite.
    """
    checkpoint = latest_checkpoint(run_folder / "checkpoints")
    if checkpoint is None:
        return None
    if name := find_not_finite(checkpoint.tensors):
        raise LabseError(
            f"{run_folder / 'checkpoints'}: damaged checkpoint of step {checkpoint.step} ({name!r} "
            "holds NaN or infinite values); delete its folder to resume from an older"
        )
    now = config.model_dump(mode="json")
    refuse_changes(run_folder, checkpoint.config, now, may_change=_MAY_CHANGE)
    return checkpoint


def restore_state(
    checkpoint: Checkpoint,
    model: MaskedLm,
    optimizer: torch.optim.Optimizer,
    processes: Processes = SINGLE,
) -> list[list[float]]:
    """Puts a checkpoint into model, optimizer and generators; returns the history.

    It holds whole tensors, so it may be of another number of processes; those that it has no
    generator for go on with their own.

    Raises:
        LabseError: a tensor is missing or has another shape.
    """
    check_complete(checkpoint, _expected_shapes(model, optimizer))
    tensors = checkpoint.tensors
    weights: dict[str, Tensor] = {
        name.removeprefix(_MODEL_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(_MODEL_PREFIX)
    }
    load_state(model, weights)
    load_optimizer_tensors(optimizer, tensors, _OPTIMIZER)
    restore_generators(tensors, processes)
    history: list[list[float]] = tensors[_HISTORY].tolist()
    return history


def _expected_shapes(
    model: MaskedLm, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Size | None]:
    expected: dict[str, torch.Size | None] = {
        f"{_MODEL_PREFIX}{name}": tensor.shape for name, tensor in model.state_dict().items()
    }
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, weight in enumerate(weights):
        for moment in ("exp_avg", "exp_avg_sq"):
            expected[f"{_OPTIMIZER}.{number}.{moment}"] = weight.shape
    return expected | {_HISTORY: None}
