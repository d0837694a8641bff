"""A batch through the model, part by part: the gradient of a step, and how held-out text scores."""

import contextlib
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from labse.pretraining.batches import Batch, BatchBuilder, ExampleOrder
from labse.pretraining.config import PretrainConfig
from labse.pretraining.estimate import estimate_flops
from labse.pretraining.model import MaskedLm
from labse.training.distributed import SINGLE, Processes

__all__ = [
    "RankBatch",
    "StepResult",
    "TrainingData",
    "ValidationSet",
    "add_gradients",
    "autocast",
    "draw_batch",
    "iter_batches",
    "validate",
]

_MAX_LOSS = 700.0  # exp of more is no float.


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Held-out examples and how they are masked.

    Attributes:
        builder: masks them and knows the names of the groups.
        groups: numbers of the examples of each group, in the order of the names.
        seed: seed of the masks, which are the same at each call.
    """

    builder: BatchBuilder
    groups: Sequence[NDArray[np.int64]]
    seed: int


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is drawn, how it is masked, and what is held out."""

    order: ExampleOrder
    builder: BatchBuilder
    held_out: ValidationSet


@dataclass(frozen=True, slots=True)
class RankBatch:
    """What one process has of the batch of a step.

    Attributes:
        lengths: (B,) tokens of each example of the whole batch.
        num_masked: masked tokens of the whole batch.
    """

    own: Batch
    lengths: NDArray[np.int64]
    num_masked: int


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step: mean loss and accuracy over masked tokens, tokens read, operations done."""

    loss: float
    accuracy: float
    num_tokens: int
    flops: float


def draw_batch(
    config: PretrainConfig, data: TrainingData, step: int, processes: Processes = SINGLE
) -> RankBatch:
    """Draws and masks the whole batch of a step, and returns the part of this process."""
    generator = np.random.default_rng([config.train.seed, step, 0])
    batch = data.builder.build(data.order.batch(step), generator)
    own = batch if processes.size == 1 else batch.every(processes.size, processes.rank)
    return RankBatch(own, batch.lengths, len(batch.masked.positions))


def iter_batches(
    config: PretrainConfig, data: TrainingData, steps: range, processes: Processes = SINGLE
) -> Generator[RankBatch, None, None]:
    """Yields the batches of some steps, each drawn while the device computes the one before.

    A batch of 8,192 examples of 512 tokens takes 0.4 s to draw and mask.
    """
    if not steps:
        return
    with ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(draw_batch, config, data, steps[0], processes)
        for step in steps:
            batch = ahead.result()
            if step + 1 in steps:
                ahead = thread.submit(draw_batch, config, data, step + 1, processes)
            yield batch


def add_gradients(
    config: PretrainConfig,
    builder: BatchBuilder,
    model: MaskedLm,
    batch: RankBatch,
    processes: Processes = SINGLE,
) -> StepResult:
    """Adds up the gradient of the mean loss over all masked tokens of the global batch.

    Each micro-batch adds its sum divided by the masked tokens of them all, so that the gradient is
    the same however the batch is cut. Of several processes, each adds up that of its part; the
    numbers returned are those of the whole batch.
    """
    num_masked = max(1, batch.num_masked)
    loss = torch.zeros((), device=model.device)
    num_correct = torch.zeros((), device=model.device, dtype=torch.int64)
    for micro in builder.iter_micro_batches(batch.own, config.train.micro_batch_size):
        with autocast(config, model):
            result = model(micro.to(model.device))
        mean = result.loss_sum / num_masked
        mean.backward()
        loss += mean.detach()
        num_correct += result.num_correct
    total_loss, total_correct = processes.add([loss.item(), num_correct.item()])
    return StepResult(
        loss=total_loss,
        accuracy=total_correct / num_masked,
        num_tokens=int(batch.lengths.sum()),
        flops=estimate_flops(model.config, batch.lengths, batch.num_masked),
    )


@contextlib.contextmanager
def autocast(config: PretrainConfig, model: MaskedLm) -> Iterator[None]:
    """Computes in the configured precision for the block."""
    with torch.autocast(
        model.device.type, torch.bfloat16, enabled=config.train.precision == "bfloat16"
    ):
        yield


@torch.no_grad()
def validate(
    model: MaskedLm, held_out: ValidationSet, *, micro_batch_size: int
) -> dict[str, float]:
    """Returns accuracy and perplexity at the masked tokens, by group and for each objective.

    The names are as `mlm_deu_accuracy`, `tlm_eng-deu_perplexity`, `mlm_accuracy`: of an objective,
    over all of its masked tokens. A group without held-out examples is left out. The model is in
    evaluation mode meanwhile.
    """
    was_training = model.training
    model.eval()
    sums: dict[str, NDArray[np.float64]] = {}
    for group, numbers in enumerate(held_out.groups):
        if not len(numbers):
            continue
        generator = np.random.default_rng([held_out.seed, group, 3])
        batch = held_out.builder.build(numbers, generator)
        total = np.zeros(3)  # Loss, right ones, masked tokens.
        for micro in held_out.builder.iter_micro_batches(batch, micro_batch_size):
            result = model(micro.to(model.device))
            found = (result.loss_sum.item(), result.num_correct.item(), len(micro.labels))
            total += np.array(found)
        name = held_out.builder.examples.group_names[group]
        objective = name.partition(" ")[0]
        sums[name.replace(" ", "_")] = total
        sums[objective] = sums.get(objective, np.zeros(3)) + total
    model.train(was_training)
    return _to_measures(sums)


def _to_measures(sums: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    measures: dict[str, float] = {}
    for name, (loss, correct, tokens) in sorted(sums.items()):
        if tokens:
            measures[f"{name}_accuracy"] = float(correct / tokens)
            measures[f"{name}_perplexity"] = math.exp(min(_MAX_LOSS, loss / tokens))
    return measures
