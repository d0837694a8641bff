"""A batch in chunks gives the loss and the gradients of the whole batch."""

from functools import partial

import numpy as np
import pytest
import torch
from tests.training_data import (
    assert_equal_gradients,
    gradients,
    random_pairs,
    small_model,
    whole_batch,
)
from torch import Tensor

from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.pairs import TokenizedPairs, sides_of
from labse.dual_encoder.gradients import add_gradients, cached_backward, pad
from labse.dual_encoder.loss import additive_margin_softmax
from labse.dual_encoder.ranking import BatchLoss
from labse.network.dual_encoder import DualEncoder

NUM_PAIRS = 11


def options(**changes: object) -> TrainConfig:
    values = {"global_batch_size": NUM_PAIRS, "logit_scale": 20.0, "logit_margin": 0.1}
    return TrainConfig.model_validate(values | changes)


def one_piece_of_algebra(model: DualEncoder, pairs: TokenizedPairs) -> Tensor:
    """Returns the loss of all pairs in one forward pass, with nothing but the plain loss."""
    source, target = (model(*pad(*pairs.gather(side))) for side in pairs.pairs.T)
    return additive_margin_softmax(source, target, logit_scale=20.0, logit_margin=0.1)


@pytest.mark.parametrize("block_bytes", [2**20, 3 * NUM_PAIRS * 8], ids=["plain", "blocks"])
@pytest.mark.parametrize("micro_batch_size", [1, 3, 10, NUM_PAIRS, None])
@pytest.mark.parametrize("layers", [0, 2], ids=["bag", "layers"])
def test_any_chunks_and_blocks_give_the_gradients_of_one_big_batch(
    layers: int, micro_batch_size: int | None, block_bytes: int
) -> None:
    pairs, ours, theirs = random_pairs(NUM_PAIRS), small_model(layers), small_model(layers)
    expected = one_piece_of_algebra(theirs, pairs)
    expected.backward()
    result = add_gradients(
        ours,
        whole_batch(pairs),
        options(micro_batch_size=micro_batch_size, logit_block_bytes=block_bytes),
    )
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(ours, theirs, 1e-10)


def test_in_float32_they_are_equal_to_its_rounding() -> None:
    pairs = random_pairs(NUM_PAIRS)
    ours, theirs = small_model(1, dtype=torch.float32), small_model(1, dtype=torch.float32)
    one_piece_of_algebra(theirs, pairs).backward()
    add_gradients(ours, whole_batch(pairs), options(micro_batch_size=4, logit_block_bytes=200))
    for name, gradient in gradients(theirs).items():
        size = max(1.0, gradient.abs().max().item())
        assert (gradients(ours)[name] - gradient).abs().max() < 1e-5 * size, name


@pytest.mark.parametrize("micro_batch_size", [1, 4, NUM_PAIRS - 1])
def test_the_second_pass_sees_the_dropout_of_the_first(micro_batch_size: int) -> None:
    # The reference draws the same masks: the same chunks, but with the graph of all of them kept.
    pairs, ours, theirs = (
        random_pairs(NUM_PAIRS),
        small_model(2, dropout=0.3),
        small_model(2, dropout=0.3),
    )
    torch.manual_seed(5)
    sentences = pairs.pairs.T.reshape(-1)
    order = np.argsort(-np.diff(pairs.offsets)[sentences], kind="stable")
    starts = range(2 * micro_batch_size, len(order), 2 * micro_batch_size)
    chunks = [theirs.embed_flat(*pairs.gather(sentences[c])) for c in np.split(order, starts)]
    source, target = torch.cat(chunks)[order.argsort()].chunk(2)
    expected = additive_margin_softmax(source, target, logit_scale=20.0, logit_margin=0.1)
    expected.backward()
    after = torch.get_rng_state()

    torch.manual_seed(5)
    result = add_gradients(ours, whole_batch(pairs), options(micro_batch_size=micro_batch_size))
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(ours, theirs, 1e-10)
    assert torch.equal(torch.get_rng_state(), after)

    # The test can fail: other masks give other gradients.
    other = small_model(2, dropout=0.3)
    torch.manual_seed(6)
    add_gradients(other, whole_batch(pairs), options(micro_batch_size=micro_batch_size))
    with pytest.raises(AssertionError):
        assert_equal_gradients(other, theirs, 1e-3)


def test_gradients_in_bfloat16_reach_the_weights_in_chunks_too() -> None:
    # Weights cast under no_grad must not be taken up by the second pass.
    pairs = random_pairs(NUM_PAIRS)
    ours, theirs = small_model(1, dtype=torch.float32), small_model(1, dtype=torch.float32)
    add_gradients(theirs, whole_batch(pairs), options(precision="bfloat16"))
    add_gradients(ours, whole_batch(pairs), options(precision="bfloat16", micro_batch_size=4))
    assert gradients(ours).keys() == gradients(theirs).keys()
    for name, gradient in gradients(theirs).items():
        # bfloat16 has 8 bits; chunks of other lengths sum in another order.
        assert (gradients(ours)[name] - gradient).norm() <= 0.1 * gradient.norm() + 1e-3, name


def test_only_one_chunk_holds_a_graph_at_a_time() -> None:
    weight = torch.ones(2, requires_grad=True)
    alive: list[bool] = []

    def embed(number: int) -> Tensor:
        alive.append(torch.is_grad_enabled())
        return (weight * number).reshape(1, 2)

    def compute_loss(chunks: list[Tensor]) -> BatchLoss:
        assert all(chunk.is_leaf for chunk in chunks)
        both = torch.cat(list(chunks))
        return BatchLoss(both.square().sum(), torch.zeros(()), both.detach(), both.detach())

    cached_backward([partial(embed, number) for number in (1, 2, 3)], compute_loss)
    assert alive == [False] * 3 + [True] * 3
    # d/dw of sum n^2 w^2 is 2 (1 + 4 + 9) w.
    assert weight.grad.tolist() == [28.0, 28.0]


@pytest.mark.parametrize("micro_batch_size", [None, 3])
@pytest.mark.parametrize("block_bytes", [2**20, 300])
def test_copies_of_a_sentence_are_no_negatives_of_each_other(
    micro_batch_size: int | None, block_bytes: int
) -> None:
    pairs, ours, theirs = (
        random_pairs(NUM_PAIRS, repeats={(4, 0): (0, 0), (7, 1): (2, 0)}),
        small_model(1),
        small_model(1),
    )
    result = add_gradients(
        ours,
        whole_batch(pairs),
        options(micro_batch_size=micro_batch_size, logit_block_bytes=block_bytes),
    )
    # Pairs 0 and 4, 2 and 7, in both directions of the loss.
    assert result.num_false_negatives.item() == 8

    source, target = (theirs(*pad(*pairs.gather(side))) for side in pairs.pairs.T)
    logits = 20 * (source @ target.T - 0.1 * torch.eye(NUM_PAIRS, dtype=torch.float64))
    for first, second in ((0, 4), (2, 7)):
        logits[first, second] = logits[second, first] = -torch.inf
    labels = torch.arange(NUM_PAIRS)
    cross_entropy = torch.nn.functional.cross_entropy
    expected = cross_entropy(logits, labels) + cross_entropy(logits.T, labels)
    expected.backward()
    assert result.loss.item() == pytest.approx(expected.item(), rel=1e-10)
    assert_equal_gradients(ours, theirs, 1e-10)


def test_a_batch_of_copies_of_one_pair_has_no_negatives_and_teaches_nothing() -> None:
    pairs, model = random_pairs(NUM_PAIRS), small_model(1)
    result = add_gradients(model, Batch.gather(pairs, sides_of(np.array([3, 3, 3]))), options())
    assert result.loss.item() == 0
    assert result.num_false_negatives.item() == 2 * 3 * 2
    assert all(not gradient.any() for gradient in gradients(model).values())


@pytest.mark.parametrize("block_bytes", [2**20, 100])
def test_negatives_far_above_the_positive_are_left_out_on_request(block_bytes: int) -> None:
    pairs, model = random_pairs(NUM_PAIRS), small_model(1)
    result = add_gradients(
        model, whole_batch(pairs), options(max_negative_excess=0.1, logit_block_bytes=block_bytes)
    )
    cosines = result.source @ result.target.T
    positives = cosines.diagonal()
    expected = (cosines > positives[:, None] + 0.1).sum() + (cosines > positives + 0.1).sum()
    assert expected > 0
    assert result.num_false_negatives == expected


def test_padding_lays_rows_out_and_masks_the_rest() -> None:
    input_ids, mask = pad(np.array([7, 8, 9], dtype=np.int32), np.array([1, 2]))
    assert input_ids.tolist() == [[7, 0], [8, 9]]
    assert mask.tolist() == [[True, False], [True, True]]
