"""The state of a run between two updates, to a checkpoint and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.model import DualEncoder
from labse.errors import UsageError
from labse.training.best import Best
from labse.training.checkpoint import (
    Checkpoint,
    checkpoint_of,
    latest_checkpoint,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)

__all__ = ["RunState", "load_run_state", "load_weights", "save_run_state"]

_MODEL_PREFIX = "model."
_LOSSES = "metrics.losses"
_FALSE_NEGATIVES = "metrics.false_negatives"
_BEST = "evaluation.best"  # Step, score, evaluations since.
_SUM_PREFIX = "sum."
_CHECKPOINT_EVERY = "train.checkpoint_every"
# They say what is written when and when to stop, and no update depends on them.
_MAY_CHANGE = (
    "train.log_every",
    "train.eval_every",
    _CHECKPOINT_EVERY,
    "train.patience",
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
) -> None:
    """Writes a checkpoint to `run_folder/checkpoints`.

    Raises:
        ResourceError: it cannot be written; older ones are intact.
    """
    tensors = {f"{_MODEL_PREFIX}{name}": tensor for name, tensor in model.state_dict().items()}
    for number, optimizer in enumerate(optimizers):
        tensors |= optimizer_tensors(optimizer, f"optimizer{number}")
    tensors[_LOSSES] = torch.tensor(state.losses, dtype=torch.float64)
    tensors[_FALSE_NEGATIVES] = torch.tensor(state.false_negatives, dtype=torch.int64)
    best = state.best
    if best != Best():
        values = [best.step, best.score, best.num_since]
        tensors[_BEST] = torch.tensor(values, dtype=torch.float64)
    tensors |= {f"{_SUM_PREFIX}{name}": tensor for name, tensor in state.weight_sums.items()}
    tensors["generator.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["generator.cuda"] = torch.cuda.get_rng_state()
    checkpoint = Checkpoint(state.step, tensors, config.model_dump(mode="json"))
    save_checkpoint(run_folder / "checkpoints", checkpoint, keep_step=best.step)


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
    before = _with_defaults(checkpoint.config)
    # Which weights are averaged depends on when checkpoints are due.
    is_averaged = config.train.average_checkpoints > 1
    may_change = [key for key in _MAY_CHANGE if not (is_averaged and key == _CHECKPOINT_EVERY)]
    changed = _differences(before, config.model_dump(mode="json"), may_change)
    if changed:
        raise UsageError(
            f"{run_folder} holds a run of another configuration ({'; '.join(changed)}); "
            "use these values or another --out"
        )
    tensors = checkpoint.tensors
    _restore(tensors, model, optimizers)
    torch.set_rng_state(tensors["generator.cpu"])
    if "generator.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generator.cuda"])
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
    _restore(checkpoint_of(run_folder / "checkpoints", step).tensors, model, optimizers)


def _restore(
    tensors: Mapping[str, Tensor],
    model: DualEncoder,
    optimizers: Sequence[torch.optim.Optimizer],
) -> None:
    model.load_state_dict(_named(tensors, _MODEL_PREFIX))
    for number, optimizer in enumerate(optimizers):
        load_optimizer_tensors(optimizer, tensors, f"optimizer{number}")


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


def _differences(
    before: object, now: object, may_change: Sequence[str], name: str = ""
) -> list[str]:
    """Names the keys that differ and may not, as `train.lr: 0.1 -> 0.2`."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            difference
            for key in sorted(before.keys() | now.keys())
            for difference in _differences(
                before.get(key), now.get(key), may_change, f"{name}.{key}".strip(".")
            )
        ]
    return [] if before == now or name in may_change else [f"{name}: {before} -> {now}"]
