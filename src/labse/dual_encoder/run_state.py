"""The state of a run between two updates, to a checkpoint and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.divergence import check_state
from labse.errors import LabseError
from labse.network.dual_encoder import DualEncoder
from labse.training.checkpoint import (
    Best,
    Checkpoint,
    check_complete,
    checkpoint_of,
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

__all__ = ["RunState", "check_unchanged", "load_run_state", "load_weights", "save_run_state"]

_MODEL_PREFIX = "model."
_LOSSES = "metrics.losses"
_FALSE_NEGATIVES = "metrics.false_negatives"
_BEST = "evaluation.best"  # Step, score, evaluations since.
_SUM_PREFIX = "sum."
_CHECKPOINT_EVERY = "train.checkpoint_every"
# They say what is written when, when to stop and how much is computed at once; the loss depends on
# none, but for rounding in bfloat16. With another micro-batch dropout draws other masks, as with
# another number of processes.
_MAY_CHANGE = (
    "train.log_every",
    "train.eval_every",
    _CHECKPOINT_EVERY,
    "train.patience",
    "train.shard",
    "train.micro_batch_size",
    "train.logit_block_bytes",
)


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands, beside its model, optimizers and generators.

    Attributes:
        step: updates done.
        losses: of the updates since the last logged row, which the next row takes the mean of.
        false_negatives: of the same updates, how many candidates were left out.
        best: what evaluations have found.
        weight_sums: of the weights at the steps that are averaged, by name.
    """

    step: int
    losses: Sequence[float]
    false_negatives: Sequence[int] = ()
    best: Best = field(default_factory=Best)
    weight_sums: Mapping[str, Tensor] = field(default_factory=dict)


def save_run_state(
    run_folder: Path,
    config: RunConfig,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
    state: RunState,
    processes: Processes = SINGLE,
) -> None:
    """Writes a checkpoint to `run_folder/checkpoints`; of several processes, the main one does.

    Raises:
        LabseError: a weight or a moment is NaN or infinite; older ones are intact.
        ResourceError: it cannot be written; older ones are intact.
    """
    weights = whole_state(model, processes)
    tensors = {f"{_MODEL_PREFIX}{name}": tensor for name, tensor in weights.items()}
    for number, optimizer in enumerate(optimizers):
        tensors |= optimizer_tensors(optimizer, f"optimizer{number}", processes)
    check_state(run_folder, state.step, tensors, processes)
    tensors[_LOSSES] = torch.tensor(state.losses, dtype=torch.float64)
    tensors[_FALSE_NEGATIVES] = torch.tensor(state.false_negatives, dtype=torch.int64)
    best = state.best
    if best != Best():
        values = [best.step, best.score, best.num_since]
        tensors[_BEST] = torch.tensor(values, dtype=torch.float64)
    tensors |= {f"{_SUM_PREFIX}{name}": tensor for name, tensor in state.weight_sums.items()}
    tensors |= generator_tensors(processes)
    if not processes.is_main:
        return
    checkpoint = Checkpoint(state.step, tensors, config.model_dump(mode="json"))
    save_checkpoint(run_folder / "checkpoints", checkpoint, keep_step=best.step)


def check_unchanged(run_folder: Path, config: RunConfig) -> None:
    """Compares a configuration with that of the newest checkpoint, without reading its tensors.

    Raises:
        UsageError: see `load_run_state`.
        LabseError: the checkpoint is damaged.
    """
    before = latest_config(run_folder / "checkpoints")
    if before is not None:
        _refuse_changes(run_folder, before, config)


def load_run_state(
    run_folder: Path,
    config: RunConfig,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
    processes: Processes = SINGLE,
) -> RunState:
    """Restores the newest checkpoint, if there is one, into model, optimizers and generators.

    It holds whole tensors, so it may be of another number of processes; those that it has no
    generator for go on with their own.

    Raises:
        UsageError: it is of a configuration with other values, log_every and its like aside.
        LabseError: it is damaged, or a number in it is NaN or infinite.
    """
    checkpoint = latest_checkpoint(run_folder / "checkpoints")
    processes.check_alike("last checkpoint", checkpoint.step if checkpoint else 0)
    if checkpoint is None:
        return RunState(0, [])
    _refuse_changes(run_folder, checkpoint.config, config)
    tensors = checkpoint.tensors
    if broken := find_not_finite({name: t for name, t in tensors.items() if name != _BEST}):
        raise LabseError(
            f"{run_folder / 'checkpoints'}: damaged checkpoint of step {checkpoint.step} ({broken} "
            "holds NaN or infinite values); delete its folder to resume from an older"
        )
    _restore(checkpoint, model, optimizers)
    restore_generators(tensors, processes)
    # Checkpoints before 2026-11-22 hold neither.
    losses = tensors[_LOSSES].tolist() if _LOSSES in tensors else []
    masked = tensors.get(_FALSE_NEGATIVES, torch.zeros(len(losses), dtype=torch.int64))
    step, score, num_since = tensors[_BEST].tolist() if _BEST in tensors else (0, -float("inf"), 0)
    return RunState(
        checkpoint.step,
        losses,
        tuple(masked.tolist()),
        Best(int(step), score, int(num_since)),
        _named(tensors, _SUM_PREFIX),
    )


def load_weights(
    run_folder: Path, step: int, model: DualEncoder, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Restores model and optimizers as a kept checkpoint has them.

    Raises:
        LabseError: it is damaged or not there.
    """
    _restore(checkpoint_of(run_folder / "checkpoints", step), model, optimizers)


def _refuse_changes(run_folder: Path, before: dict[str, object], config: RunConfig) -> None:
    # Which weights are averaged depends on when checkpoints are due.
    is_averaged = config.train.average_checkpoints > 1
    may_change = [key for key in _MAY_CHANGE if not (is_averaged and key == _CHECKPOINT_EVERY)]
    now = config.model_dump(mode="json")
    refuse_changes(run_folder, _with_defaults(before), now, may_change=may_change)


def _restore(
    checkpoint: Checkpoint,
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    weights = model.state_dict().items()
    check_complete(checkpoint, {f"{_MODEL_PREFIX}{name}": tensor.shape for name, tensor in weights})
    load_state(model, _named(checkpoint.tensors, _MODEL_PREFIX))
    for number, optimizer in enumerate(optimizers):
        load_optimizer_tensors(optimizer, checkpoint.tensors, f"optimizer{number}")


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _with_defaults(values: dict[str, object]) -> dict[str, object]:
    """Adds the keys that have come since the checkpoint, whose defaults are what was done before.

    What no configuration can hold any more stays as it is, to be told as a difference.
    """
    try:
        return RunConfig.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values
