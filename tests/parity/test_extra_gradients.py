"""Hard negatives and distillation against the same algebra written out in plain torch.

Every row of the loss is summed on its own here, with no mask, no matrix and no chunk.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.training_data import assert_equal_gradients, random_pairs, small_model, whole_batch
from torch import Tensor

from labse.dual_encoder.config import DistillConfig, TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.negatives import Negatives
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.gradients import add_gradients, pad
from labse.network.dual_encoder import DualEncoder

B, SCALE, MARGIN = 7, 20.0, 0.1
# Sentences 14 to 18 are hard negatives: three for sources, two for targets.
NUM_TARGETS, NUM_NEGATIVES = 3, 5
# Number 15, the second, translates source 2 of the batch; 17 translates targets 0 and 5.
KNOWN = np.array([[-1, -1], [2, -1], [-1, -1], [B + 0, B + 5], [-1, -1]])


def batch_with(pairs: TokenizedPairs, negatives: Negatives | None = None) -> Batch:
    return replace(whole_batch(pairs), negatives=negatives)


def five_negatives(pairs: TokenizedPairs) -> Negatives:
    numbers = np.arange(2 * B, 2 * B + NUM_NEGATIVES, dtype=np.int32)
    return Negatives(*pairs.gather(numbers), NUM_TARGETS, KNOWN)


def written_out(
    model: DualEncoder,
    pairs: TokenizedPairs,
    max_excess: float | None = None,
    negative_margin: float = MARGIN,
) -> tuple[Tensor, Tensor, int]:
    """Returns the ranking loss, all vectors, and how many candidates were left out."""
    rows = model(*pad(*pairs.gather(np.arange(2 * B + NUM_NEGATIVES, dtype=np.int32))))
    source, target, extra = rows[: 2 * B : 2], rows[1 : 2 * B : 2], rows[2 * B :]
    total, left_out = rows.sum() * 0, 0
    directions = (
        (source, target, range(NUM_TARGETS)),
        (target, source, range(NUM_TARGETS, NUM_NEGATIVES)),
    )
    for queries, candidates, extras in directions:
        for i in range(B):
            positive = queries[i] @ candidates[i]
            cosines = [queries[i] @ candidates[j] for j in range(B) if j != i]
            known = [h for h in extras if {i, B + i} & set(KNOWN[h].tolist())]
            hard = [queries[i] @ extra[h] for h in extras if h not in known]
            left_out += len(known)
            if max_excess is not None:
                bound = positive.item() + max_excess
                left_out += sum(c.item() > bound for c in cosines + hard)
                cosines = [c for c in cosines if c.item() <= bound]
                hard = [c for c in hard if c.item() <= bound]
            leads = [positive - c - MARGIN for c in cosines]
            leads += [positive - c - negative_margin for c in hard]
            logits = torch.stack([positive * 0, *(-lead for lead in leads)]) * SCALE
            total = total + (logits.logsumexp(0) - logits[0]) / B
    return total, torch.cat([source, target]), left_out


def options(**changes: object) -> TrainConfig:
    values = {"global_batch_size": B, "logit_scale": SCALE, "logit_margin": MARGIN}
    return TrainConfig.model_validate(values | changes)


@pytest.mark.parametrize("negative_margin", [None, -0.02])
@pytest.mark.parametrize("max_excess", [None, 0.05])
@pytest.mark.parametrize("block_bytes", [2**20, 2 * (B + NUM_TARGETS) * 8], ids=["plain", "blocks"])
@pytest.mark.parametrize("micro_batch_size", [None, 1, 3, B])
@pytest.mark.parametrize("layers", [0, 1], ids=["bag", "layers"])
def test_hard_negatives_join_the_denominator_of_their_direction(
    layers: int,
    micro_batch_size: int | None,
    block_bytes: int,
    max_excess: float | None,
    negative_margin: float | None,
) -> None:
    pairs, ours, theirs = (
        random_pairs(B, seed=1, num_more=NUM_NEGATIVES),
        small_model(layers),
        small_model(layers),
    )
    expected, _, left_out = written_out(
        theirs, pairs, max_excess, MARGIN if negative_margin is None else negative_margin
    )
    expected.backward()
    result = add_gradients(
        ours,
        batch_with(pairs, five_negatives(pairs)),
        options(
            micro_batch_size=micro_batch_size,
            logit_block_bytes=block_bytes,
            max_negative_excess=max_excess,
            negative_margin=negative_margin,
        ),
    )
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert result.num_false_negatives.item() == left_out
    assert_equal_gradients(ours, theirs, 1e-10)


def test_negatives_of_one_direction_alone_leave_the_other_as_it_is() -> None:
    pairs, with_some, without = (
        random_pairs(B, seed=1, num_more=NUM_NEGATIVES),
        small_model(1),
        small_model(1),
    )
    only = Negatives(*pairs.gather(np.array([14, 16], np.int32)), 2, np.full((2, 0), -1))
    more = add_gradients(with_some, batch_with(pairs, only), options())
    less = add_gradients(without, batch_with(pairs), options())
    assert more.loss.item() > less.loss.item()
    torch.testing.assert_close(more.source, less.source)


def test_a_batch_that_draws_no_negative_is_a_plain_one() -> None:
    pairs, ours, theirs = (
        random_pairs(B, seed=1, num_more=NUM_NEGATIVES),
        small_model(0),
        small_model(0),
    )
    none = Negatives(np.zeros(0, np.int32), np.zeros(0, np.int64), 0, np.zeros((0, 0), np.int64))
    found = add_gradients(ours, batch_with(pairs, none), options())
    plain = add_gradients(theirs, batch_with(pairs), options())
    assert found.loss.item() == plain.loss.item()
    assert_equal_gradients(ours, theirs, 1e-10)


@pytest.mark.parametrize("loss", ["mse", "cosine"])
@pytest.mark.parametrize("ranking_weight", [0.0, 0.7])
@pytest.mark.parametrize("micro_batch_size", [None, 3])
def test_distillation_adds_the_distance_to_the_teacher(
    micro_batch_size: int | None, ranking_weight: float, loss: str
) -> None:
    pairs, ours, theirs = (
        random_pairs(B, seed=1, num_more=NUM_NEGATIVES),
        small_model(1),
        small_model(1),
    )
    teacher = torch.nn.functional.normalize(
        torch.randn(2 * B, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    )
    ranking, rows, _ = written_out(theirs, pairs)
    distance = rows.sum() * 0
    for i in range(2 * B):
        difference, cosine = rows[i] - teacher[i], torch.cosine_similarity(rows[i], teacher[i], 0)
        distance = distance + ((difference @ difference) if loss == "mse" else 1 - cosine) / B
    expected = ranking_weight * ranking + 3.0 * distance
    expected.backward()

    config = DistillConfig.model_validate(
        {"teacher": "t", "loss": loss, "weight": 3.0, "ranking_weight": ranking_weight}
    )
    batch = replace(batch_with(pairs, five_negatives(pairs)), teacher_vectors=teacher.numpy())
    result = add_gradients(ours, batch, options(micro_batch_size=micro_batch_size), config)
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(ours, theirs, 1e-10)
