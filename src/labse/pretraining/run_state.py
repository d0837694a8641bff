"""The state of a pre-training run between two updates, to a checkpoint and back."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from labse.errors import UsageError
from labse.pretraining.config import PretrainConfig
from labse.pretraining.model import MaskedLm
from labse.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)

__all__ = ["load_checkpoint", "restore_state", "save_state"]

_MODEL_PREFIX = "model."
_HISTORY = "metrics.history"
# They say what is written when, or how much is computed at once.
_MAY_CHANGE = frozenset(
    f"train.{name}"
    for name in ("log_every", "eval_every", "checkpoint_every", "max_logits_bytes", "peak_tflops")
)


def save_state(
    run_folder: Path,
    config: PretrainConfig,
    step: int,
    model: MaskedLm,
    optimizer: torch.optim.Optimizer,
    history: Sequence[Sequence[float]],
) -> None:
    """Writes a checkpoint to `run_folder/checkpoints`.

    Args:
        run_folder: of the run.
        config: of the run.
        step: updates done.
        model: of the stage at hand.
        optimizer: with the moments of this stage.
        history: loss and accuracy of the updates since the last logged row.

    Raises:
        ResourceError: it cannot be written; older ones are intact.
    """
    tensors = {f"{_MODEL_PREFIX}{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= optimizer_tensors(optimizer, "optimizer")
    tensors[_HISTORY] = torch.tensor(list(history), dtype=torch.float64).reshape(-1, 2)
    tensors["generator.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["generator.cuda"] = torch.cuda.get_rng_state()
    checkpoint = Checkpoint(step, tensors, config.model_dump(mode="json"))
    save_checkpoint(run_folder / "checkpoints", checkpoint)


def load_checkpoint(run_folder: Path, config: PretrainConfig) -> Checkpoint | None:
    """Returns the newest checkpoint, None if there is none.

    Raises:
        UsageError: it is of a configuration with other values; the message lists them.
        LabseError: it is damaged.
    """
    checkpoint = latest_checkpoint(run_folder / "checkpoints")
    if checkpoint is None:
        return None
    before, now = _flatten(checkpoint.config), _flatten(config.model_dump(mode="json"))
    changed = [
        f"{name}: {before.get(name)} -> {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and name not in _MAY_CHANGE
    ]
    if changed:
        raise UsageError(
            f"{run_folder} holds a run of another configuration ({'; '.join(changed)}); "
            "use these values or another --out"
        )
    return checkpoint


def restore_state(
    checkpoint: Checkpoint, model: MaskedLm, optimizer: torch.optim.Optimizer
) -> list[list[float]]:
    """Puts a checkpoint into model, optimizer and generators; returns the history."""
    tensors = checkpoint.tensors
    weights: dict[str, Tensor] = {
        name.removeprefix(_MODEL_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(_MODEL_PREFIX)
    }
    model.load_state_dict(weights)
    load_optimizer_tensors(optimizer, tensors, "optimizer")
    torch.set_rng_state(tensors["generator.cpu"])
    if "generator.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["generator.cuda"])
    history: list[list[float]] = tensors[_HISTORY].tolist()
    return history


def _flatten(values: object, name: str = "") -> dict[str, object]:
    if not isinstance(values, dict):
        return {name: values}
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flatten(value, f"{name}.{key}".strip("."))
    return flat
