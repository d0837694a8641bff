"""Checkpoints: a folder a step, complete or absent, never unpickled; the best, and their mean."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from labse.errors import LabseError
from labse.files.atomic import read_json, replace_folder, write_json
from labse.files.scratch import find_final_name
from labse.training.distributed import SINGLE, Processes
from labse.training.sharding import gather_tensor, part_like

__all__ = [
    "Best",
    "Checkpoint",
    "WeightSum",
    "averaged_steps",
    "check_complete",
    "checkpoint_of",
    "find_not_finite",
    "generator_tensors",
    "latest_checkpoint",
    "latest_config",
    "load_optimizer_tensors",
    "optimizer_tensors",
    "prune_checkpoints",
    "restore_generators",
    "save_checkpoint",
]

_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after `step` updates.

    Attributes:
        step: updates done.
        tensors: weights, optimizer moments and generator states by name.
        config: the configuration of the run, as JSON values.
    """

    step: int
    tensors: dict[str, Tensor]
    config: dict[str, object]


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint, *, keep: int = 2, keep_step: int | None = None
) -> Path:
    """Writes `folder/step-N`, then deletes older ones; see `prune_checkpoints`.

    The folder gets its name by a rename after everything in it is on the disk.

    No other process works in the folder (`claim_folder`).

    Raises:
        ResourceError: the disk is full or the folder cannot be written; older ones are intact.
    """
    final = _folder_of(folder, checkpoint.step)
    _remove_unfinished(folder)
    with replace_folder(final) as temporary:
        save_file(
            {k: v.contiguous() for k, v in checkpoint.tensors.items()},
            temporary / "state.safetensors",
        )
        write_json(temporary / "state.json", {"step": checkpoint.step, "config": checkpoint.config})
    prune_checkpoints(folder, keep=keep, keep_step=keep_step)
    return final


def prune_checkpoints(folder: Path, *, keep: int = 2, keep_step: int | None = None) -> None:
    """Deletes all but the `keep` newest and that of `keep_step`, and what a kill has left.

    No other process works in the folder (`claim_folder`).
    """
    _remove_unfinished(folder)
    kept = None if keep_step is None else _folder_of(folder, keep_step)
    for old in _folders(folder)[:-keep]:
        if old != kept:
            shutil.rmtree(old, ignore_errors=True)


def _remove_unfinished(folder: Path) -> None:
    for left in folder.iterdir() if folder.is_dir() else ():
        if re.fullmatch(rf"{_PREFIX}\d{{9}}", find_final_name(left.name)):
            shutil.rmtree(left, ignore_errors=True)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Returns the newest checkpoint, or None if there is none.

    Raises:
        LabseError: it is damaged; the message names the folder to delete.
    """
    folders = _folders(folder)
    if not folders:
        return None
    return _load(folders[-1])


def latest_config(folder: Path) -> dict[str, object] | None:
    """Returns the configuration in the newest checkpoint, or None if there is none.

    Raises:
        LabseError: see `latest_checkpoint`.
    """
    folders = _folders(folder)
    return _read_state(folders[-1])[1] if folders else None


def checkpoint_of(folder: Path, step: int) -> Checkpoint:
    """Returns the checkpoint of a step.

    Raises:
        LabseError: it is damaged or not there.
    """
    return _load(_folder_of(folder, step))


def _load(path: Path) -> Checkpoint:
    step, config = _read_state(path)
    try:
        tensors = load_file(path / "state.safetensors")
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from None
    return Checkpoint(step, tensors, config)


def _read_state(path: Path) -> tuple[int, dict[str, object]]:
    try:
        state = read_json(path / "state.json")
        step, config = state["step"], state["config"]
        if not isinstance(step, int) or not isinstance(config, dict):
            raise LabseError("state.json holds no step and configuration")
    except (KeyError, LabseError) as error:
        raise _damaged(path, error) from None
    return step, config


def _damaged(path: Path, error: Exception) -> LabseError:
    return LabseError(
        f"{path}: damaged checkpoint ({error}); delete this folder to resume from an older"
    )


def find_not_finite(tensors: Mapping[str, Tensor]) -> str:
    """Returns the name of a tensor with NaN or infinite values, or an empty string."""
    numbers = ((name, tensor) for name, tensor in tensors.items() if tensor.is_floating_point())
    return next((name for name, tensor in numbers if not _is_finite(tensor)), "")


def _is_finite(tensor: Tensor) -> bool:
    # A sum in which one number is not finite never is, and takes a tenth of the time of a look.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def check_complete(checkpoint: Checkpoint, expected: Mapping[str, torch.Size | None]) -> None:
    """Compares the tensors of a checkpoint with names and shapes (None: any) that it must have.

    Raises:
        LabseError: one is missing or has another shape.
    """
    found = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    wrong = [
        name
        for name, shape in expected.items()
        if name not in found or shape not in (None, found[name])
    ]
    if wrong:
        raise LabseError(
            f"damaged checkpoint of step {checkpoint.step} ({wrong[0]!r} is missing or has another "
            "shape); delete its folder in checkpoints to resume from an older"
        )


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, prefix: str, processes: Processes = SINGLE
) -> dict[str, Tensor]:
    """Flattens the state of an optimizer to named tensors, numbers included.

    What is sharded is gathered (`gather_tensor`).
    """
    states: Mapping[int, Mapping[str, Tensor | float]] = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{key}": gather_tensor(torch.as_tensor(value), processes)
        for index, state in states.items()
        for key, value in state.items()
    }


def load_optimizer_tensors(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str
) -> None:
    """Restores what `optimizer_tensors` returned, into an optimizer built the same way.

    Its weights may be sharded in another way, or not at all.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name.removeprefix(prefix + ".").split(".")
            weight = weights[int(index)]
            is_moment = tensor.shape == weight.shape
            part = part_like(tensor, weight.detach()) if is_moment else tensor
            state.setdefault(int(index), {})[key] = part
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


def generator_tensors(processes: Processes = SINGLE) -> dict[str, Tensor]:
    """Returns the states of torch's global generators of all processes; all call it together."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return {
        _generator_name(device, rank): row.clone()
        for device, state in states.items()
        for rank, row in enumerate(processes.gather_rows(state[None]))
    }


def restore_generators(tensors: Mapping[str, Tensor], processes: Processes = SINGLE) -> None:
    """Sets the generators to the states of this process, if there are any."""
    cpu, cuda = (_generator_name(device, processes.rank) for device in ("cpu", "cuda"))
    if cpu in tensors:
        torch.set_rng_state(tensors[cpu])
    if cuda in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[cuda])


def _generator_name(device: str, rank: int) -> str:
    return f"generator.{device}" + (f".{rank}" if rank else "")


def _folder_of(folder: Path, step: int) -> Path:
    return folder / f"{_PREFIX}{step:09d}"


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob(f"{_PREFIX}[0-9]*") if path.is_dir())


def averaged_steps(num_checkpoints: int, *, checkpoint_every: int, train_steps: int) -> list[int]:
    """Returns the last steps that are multiples of `checkpoint_every`, or the end of the run.

    One checkpoint needs no mean, and gives no steps. A checkpoint that a stop makes in between does
    not count, so a run that was stopped averages what an undisturbed one does.

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
        tensors: sums by name, empty before the first; a checkpoint needs nothing else.
    """

    def __init__(self, tensors: Mapping[str, Tensor] | None = None) -> None:
        self.tensors = dict(tensors or {})

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Adds the present weights of `model`."""
        for name, tensor in model.state_dict().items():
            if name in self.tensors:
                self.tensors[name] += tensor.to(self.tensors[name].device)
            else:
                self.tensors[name] = tensor.clone()

    def mean(self, count: int) -> dict[str, Tensor]:
        """Returns the mean of `count` summands by name."""
        return {name: tensor / count for name, tensor in self.tensors.items()}


@dataclass(frozen=True, slots=True)
class Best:
    """The best evaluation so far; a higher score is better.

    Attributes:
        step: updates done by then; 0 before the first evaluation.
        num_since: number of evaluations after it.
    """

    step: int = 0
    score: float = -float("inf")
    num_since: int = 0

    def after(self, step: int, score: float) -> "Best":
        """Returns the best after one more evaluation; of equal ones it is the earlier."""
        if score > self.score:
            return Best(step, score)
        return Best(self.step, self.score, self.num_since + 1)
