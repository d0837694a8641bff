"""How well held-out examples are restored, for each objective and language."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from labse.pretraining.batches import BatchBuilder
from labse.pretraining.model import MaskedLm

__all__ = ["ValidationSet", "validate"]

_MAX_LOSS = 700.0  # exp of more is no float.


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Held-out examples and how they are masked.

    Attributes:
        builder: whose group names are told.
        groups: example numbers of each group, in the order of the names.
        seed: of the masks, which are the same at each call.
    """

    builder: BatchBuilder
    groups: Sequence[NDArray[np.int64]]
    seed: int


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
