"""The state of a run between two steps, to a checkpoint and back.

Takes: a model and its optimizers, perhaps cut over processes. Gives: whole tensors by name:
`model.*`, the moments of each optimizer under its name, generators, and what a stage adds.
Source: docs/design.md, promises: the same command goes on where it was.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from labse.config import Config
from labse.errors import LabseError
from labse.training.checkpoint import (
    Checkpoint,
    check_complete,
    find_not_finite,
    generator_tensors,
    latest_checkpoint,
    latest_config,
    load_optimizer_tensors,
    optimizer_tensors,
    prune_checkpoints,
    restore_generators,
    save_checkpoint,
)
from labse.training.distributed import SINGLE, Processes
from labse.training.run_folder import refuse_changes
from labse.training.sharding import load_state, whole_state

__all__ = [
    "check_finite_state",
    "check_unchanged",
    "load_last",
    "named_tensors",
    "prune",
    "restore",
    "save",
    "tell_last_checkpoint",
]

_MODEL = "model."
_MAY_BE_INFINITE = "evaluation."  # Before an evaluation, the best score is that.

Optimizers = Mapping[str, torch.optim.Optimizer]


def save(
    run_folder: Path,
    config: Config,
    step: int,
    model: nn.Module,
    optimizers: Optimizers,
    more: Mapping[str, Tensor],
    processes: Processes = SINGLE,
    *,
    advice: str,
    keep_step: int | None = None,
) -> None:
    """Writes a checkpoint to `run_folder/checkpoints`; of several processes, the main one does.

    Args:
        optimizers: whose moments are kept, by name.
        more: tensors that the stage adds.
        processes: of the run; all call this together.
        advice: what to do when numbers are not finite.
        keep_step: step of an older checkpoint that stays; None keeps the newest two.

    Raises:
        LabseError: a weight or a moment is NaN or infinite; older checkpoints are intact.
        ResourceError: it cannot be written; older checkpoints are intact.
    """
    weights = whole_state(model, processes)
    tensors = {f"{_MODEL}{name}": tensor for name, tensor in weights.items()}
    for name, optimizer in optimizers.items():
        tensors |= optimizer_tensors(optimizer, name, processes)
    check_finite_state(run_folder, step, tensors, processes, advice=advice)
    tensors |= {**more, **generator_tensors(processes)}
    if processes.is_main:
        checkpoint = Checkpoint(step, tensors, config.model_dump(mode="json"))
        save_checkpoint(run_folder / "checkpoints", checkpoint, keep_step=keep_step)


def prune(run_folder: Path, processes: Processes, *, keep_step: int | None = None) -> None:
    """Deletes the checkpoints that a run that was killed while it did so has left; see `save`."""
    if processes.is_main:
        prune_checkpoints(run_folder / "checkpoints", keep_step=keep_step)


def check_finite_state(
    run_folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    processes: Processes = SINGLE,
    *,
    advice: str,
) -> None:
    """Stops a run before NaN or infinite weights or moments reach a checkpoint.

    A finite gradient does not keep an update finite: the rate may be too high for float32, and so
    may the square of a gradient.

    Raises:
        LabseError: a number is NaN or infinite, on any process.
    """
    broken = find_not_finite(tensors)
    if processes.any(bool(broken)):
        raise LabseError(
            f"step {step}: the update left NaN or infinite values in "
            f"{broken or 'what another process holds'}; no checkpoint was written"
            f"{tell_last_checkpoint(run_folder)}; {advice}"
        )


def tell_last_checkpoint(run_folder: Path) -> str:
    """Returns which checkpoint a run that went wrong has, as a part of a message."""
    kept = sorted((run_folder / "checkpoints").glob("step-[0-9]*"))
    return f"; the last checkpoint is {kept[-1]}" if kept else ""


def check_unchanged(run_folder: Path, config: Config, *, may_change: Sequence[str]) -> None:
    """Compares a configuration with that of the newest checkpoint, without reading its tensors.

    Raises:
        UsageError: there is a checkpoint of a configuration with other values.
        LabseError: it is damaged.
    """
    before = latest_config(run_folder / "checkpoints")
    if before is not None:
        _refuse_changes(run_folder, before, config, may_change)


def load_last(
    run_folder: Path, config: Config, processes: Processes = SINGLE, *, may_change: Sequence[str]
) -> Checkpoint | None:
    """Returns the newest checkpoint; None where there is none.

    Args:
        processes: of the run, which must all see the same checkpoint.
        may_change: keys, such as `train.log_every`, that may have another value than before.

    Raises:
        UsageError: it is of a configuration with other values; the message lists them.
        LabseError: it is damaged, or a number in it is NaN or infinite.
    """
    checkpoint = latest_checkpoint(run_folder / "checkpoints")
    processes.check_alike("last checkpoint", checkpoint.step if checkpoint else 0)
    if checkpoint is None:
        return None
    _refuse_changes(run_folder, checkpoint.config, config, may_change)
    tensors = checkpoint.tensors.items()
    finite = {name: tensor for name, tensor in tensors if not name.startswith(_MAY_BE_INFINITE)}
    if broken := find_not_finite(finite):
        raise LabseError(
            f"{run_folder / 'checkpoints'}: damaged checkpoint of step {checkpoint.step} "
            f"({broken!r} holds NaN or infinite values); delete its folder to resume from an older"
        )
    return checkpoint


def restore(
    checkpoint: Checkpoint,
    model: nn.Module,
    optimizers: Optimizers,
    processes: Processes | None = None,
    *,
    more: Mapping[str, torch.Size | None] | None = None,
) -> None:
    """Puts a checkpoint into model, optimizers and generators.

    It holds whole tensors, so it may be of another number of processes; those that it has no
    generator for go on with their own.

    Args:
        checkpoint: of `load_last`.
        optimizers: that get its moments, by the names they were saved under.
        processes: of the run; None leaves the generators as they are.
        more: shapes (None: any) of tensors that it must have beside the weights.

    Raises:
        LabseError: a tensor is missing or has another shape.
    """
    shapes = {f"{_MODEL}{name}": tensor.shape for name, tensor in model.state_dict().items()}
    check_complete(checkpoint, {**shapes, **(more or {})})
    load_state(model, named_tensors(checkpoint.tensors, _MODEL))
    for name, optimizer in optimizers.items():
        load_optimizer_tensors(optimizer, checkpoint.tensors, name)
    if processes is not None:
        restore_generators(checkpoint.tensors, processes)


def named_tensors(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names begin with `prefix`, by what follows it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _refuse_changes(
    run_folder: Path, before: dict[str, object], config: Config, may_change: Sequence[str]
) -> None:
    now = config.model_dump(mode="json")
    refuse_changes(run_folder, _with_defaults(type(config), before), now, may_change=may_change)


def _with_defaults(config_type: type[Config], values: dict[str, object]) -> dict[str, object]:
    """Adds the keys that have come since the checkpoint, whose defaults are what was done before.

    What no configuration can hold any more stays as it is, to be told as a difference.
    """
    try:
        return config_type.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values
