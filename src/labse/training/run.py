"""The skeleton of a training run, which both stages fill in.

Takes: a folder, how a stage prepares its data, how it trains. Gives: what that training returns.
Source: docs/design.md, promises: the same command goes on where it was.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from labse.config import Config
from labse.corpus.inputs import InputFile
from labse.errors import ResourceError, UsageError
from labse.files.atomic import MANIFEST_NAME
from labse.runtime import OnProgress
from labse.training.distributed import Processes, check_shared, join_processes
from labse.training.metrics import OnMetrics
from labse.training.run_folder import RunStage, check_run_folder, claim_run

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["build_lineage", "join_callbacks", "memory_errors", "run_stage"]

Job = TypeVar("Job")
Summary = TypeVar("Summary")


def run_stage(
    out: Path,
    stage: RunStage,
    *,
    global_batch_size: int,
    is_sharded: bool,
    prepare: Callable[[Processes], Job],
    train: Callable[[Job, Processes], Summary],
    memory_advice: str,
) -> Summary:
    """Trains in a folder of its own; under torchrun, all processes call this together.

    Args:
        out: folder of the run, held for the main process alone.
        global_batch_size: pairs or examples of a step, which must divide among the processes.
        is_sharded: whether weights are cut over the processes.
        prepare: reads data and sizes, and opens the run; the main process does so before others.
        train: makes the steps and, on the main process, writes the model.
        memory_advice: what to lower when a device is full.

    Raises:
        UsageError: the folder is of something else, or another process is at work there.
        InterruptedRunError, LabseError, ResourceError: what `prepare` and `train` raise.
    """
    with join_processes() as processes:
        # What the processes cannot do is told before the data is read.
        processes.part(global_batch_size)
        if is_sharded and processes.size == 1:
            raise UsageError("train.shard full needs several processes; start them by torchrun")
        with processes.main_holds(claim_run(out, stage)):
            with processes.main_first():
                if not processes.is_main:
                    check_run_folder(out, stage)
                    check_shared(out / MANIFEST_NAME)
                job = prepare(processes)
            with memory_errors(memory_advice):
                return train(job, processes)


def build_lineage(
    config: Config, inputs: Sequence[InputFile], counts: "DataclassInstance"
) -> dict[str, object]:
    """Returns what the manifests of a run and of its model say of its making, to be added to."""
    return {
        "run_config": config.model_dump(mode="json"),
        "inputs": [asdict(file) for file in inputs],
        "counts": asdict(counts),
    }


def join_callbacks(
    on_metrics: OnMetrics | None, on_progress: OnProgress | None, *, train_steps: int
) -> OnMetrics:
    """Returns what a training loop calls with each row of metrics."""

    def record(row: Mapping[str, float]) -> None:
        if on_metrics:
            on_metrics(row)
        if on_progress and "loss" in row:
            on_progress(int(row["step"]), train_steps)

    return record


@contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Makes an allocation that fails in the block a ResourceError that says what to lower.

    Raises:
        ResourceError: the device has too little memory.
    """
    try:
        yield
    except RuntimeError as error:
        # A CPU's allocator has no class of its own for it.
        is_out = isinstance(error, torch.OutOfMemoryError)
        if not (is_out or "can't allocate memory" in str(error)):
            raise
        raise ResourceError(f"the device has too little memory; {advice}") from None
