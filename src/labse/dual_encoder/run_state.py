"""The state of a run between two updates, to a checkpoint and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from labse.dual_encoder.config import RunConfig
from labse.network.dual_encoder import DualEncoder
from labse.training import run_state
from labse.training.checkpoint import Best, checkpoint_of
from labse.training.distributed import SINGLE, Processes

__all__ = [
    "ADVICE",
    "RunState",
    "check_unchanged",
    "load_run_state",
    "load_weights",
    "save_run_state",
]

ADVICE = "start anew in another --out with a lower train.lr or train.embedding_lr"
_LOSSES = "metrics.losses"
_FALSE_NEGATIVES = "metrics.false_negatives"
_BEST = "evaluation.best"  # Step, score, evaluations since.
_SUM_PREFIX = "sum."
_CHECKPOINT_EVERY = "train.checkpoint_every"
# These say what is written when, when to stop and how much is computed at once; the loss depends on
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
    "distill.teacher",  # Its hash is in the manifest, whatever its folder is called.
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
    best = state.best
    more = {
        _LOSSES: torch.tensor(state.losses, dtype=torch.float64),
        _FALSE_NEGATIVES: torch.tensor(state.false_negatives, dtype=torch.int64),
    }
    if best != Best():
        values = [best.step, best.score, best.num_since]
        more[_BEST] = torch.tensor(values, dtype=torch.float64)
    more |= {f"{_SUM_PREFIX}{name}": tensor for name, tensor in state.weight_sums.items()}
    run_state.save(
        run_folder,
        config,
        state.step,
        model,
        _by_name(optimizers),
        more,
        processes,
        advice=ADVICE,
        keep_step=best.step,
    )


def check_unchanged(run_folder: Path, config: RunConfig) -> None:
    """Compares a configuration with that of the newest checkpoint, without reading its tensors.

    Raises:
        UsageError: see `load_run_state`.
        LabseError: the checkpoint is damaged.
    """
    run_state.check_unchanged(run_folder, config, may_change=_may_change(config))


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
    checkpoint = run_state.load_last(run_folder, config, processes, may_change=_may_change(config))
    if checkpoint is None:
        return RunState(0, [])
    run_state.restore(checkpoint, model, _by_name(optimizers), processes)
    tensors = checkpoint.tensors
    # Checkpoints before 2026-11-22 hold neither.
    losses = tensors[_LOSSES].tolist() if _LOSSES in tensors else []
    masked = tensors.get(_FALSE_NEGATIVES, torch.zeros(len(losses), dtype=torch.int64))
    step, score, num_since = tensors[_BEST].tolist() if _BEST in tensors else (0, -float("inf"), 0)
    run_state.prune(run_folder, processes, keep_step=int(step))
    return RunState(
        checkpoint.step,
        losses,
        tuple(masked.tolist()),
        Best(int(step), score, int(num_since)),
        run_state.named_tensors(tensors, _SUM_PREFIX),
    )


def load_weights(
    run_folder: Path, step: int, model: DualEncoder, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Restores model and optimizers as a kept checkpoint has them.

    Raises:
        LabseError: it is damaged or not there.
    """
    checkpoint = checkpoint_of(run_folder / "checkpoints", step)
    run_state.restore(checkpoint, model, _by_name(optimizers))


def _may_change(config: RunConfig) -> list[str]:
    # Which weights are averaged depends on when checkpoints are due.
    is_averaged = config.train.average_checkpoints > 1
    return [key for key in _MAY_CHANGE if not (is_averaged and key == _CHECKPOINT_EVERY)]


def _by_name(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, torch.optim.Optimizer]:
    return {f"optimizer{number}": optimizer for number, optimizer in enumerate(optimizers)}
