import numpy as np
import pytest
import torch

from labse.pretraining.batches import BatchBuilder
from labse.pretraining.config import MaskingConfig
from labse.pretraining.examples import ExampleCollector

SPECIAL = np.arange(5, dtype=np.int32)


def builder(**options: str) -> BatchBuilder:
    collector = ExampleCollector()
    collector.add("mlm", "deu", [2, 10, 11, 12, 13, 14, 15, 3])
    collector.add("tlm", "eng-deu", [2, 20, 3, 21, 22, 3], 3)
    collector.add("mlm", "deu", [2, 30, 3])
    return BatchBuilder(
        collector.build(),
        MaskingConfig(),
        SPECIAL,
        mask_id=4,
        vocab_size=40,
        **options,  # type: ignore[arg-type]
    )


def test_rows_are_sorted_by_length_and_padded() -> None:
    made = builder()
    batch = made.build(np.array([0, 1, 2]), np.random.default_rng(0))
    assert batch.lengths.tolist() == [3, 6, 8]
    short, long = made.iter_micro_batches(batch, 2)
    assert short.input_ids.shape == (2, 6)
    assert short.attention_mask is not None
    assert short.attention_mask.sum(1).tolist() == [3, 6]
    assert short.input_ids[0, 3:].tolist() == [0, 0, 0]
    assert long.attention_mask is None
    assert (long.token_type_ids, long.position_ids) == (None, None)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_labels_put_back_at_their_positions_give_the_examples(size: int) -> None:
    made = builder()
    batch = made.build(np.array([0, 1, 2, 2]), np.random.default_rng(1))
    rows = []
    for micro in made.iter_micro_batches(batch, size):
        flat = micro.input_ids.reshape(-1).clone()
        flat[micro.positions] = micro.labels
        restored = flat.view(micro.input_ids.shape)
        lengths = (
            [restored.shape[1]] * len(restored)
            if micro.attention_mask is None
            else micro.attention_mask.sum(1).tolist()
        )
        rows += [row[:n].tolist() for row, n in zip(restored, lengths, strict=True)]
    one, pair, long = [2, 30, 3], [2, 20, 3, 21, 22, 3], [2, 10, 11, 12, 13, 14, 15, 3]
    assert rows == [one, one, pair, long]


def test_the_second_side_of_a_pair_starts_anew_where_asked() -> None:
    made = builder(positions="reset", segments="on")
    batch = made.build(np.array([1, 2]), np.random.default_rng(0))
    (micro,) = made.iter_micro_batches(batch, 8)
    assert micro.position_ids is not None
    assert micro.token_type_ids is not None
    assert micro.position_ids[1].tolist() == [0, 1, 2, 0, 1, 2]
    assert micro.token_type_ids[1].tolist() == [0, 0, 0, 1, 1, 1]
    assert micro.position_ids[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert micro.token_type_ids[0].tolist() == [0] * 6
    moved = micro.to(torch.device("cpu"))
    assert torch.equal(moved.input_ids, micro.input_ids)


def test_masks_do_not_depend_on_the_size_of_a_micro_batch() -> None:
    made = builder()
    batch = made.build(np.array([0, 1, 2]), np.random.default_rng(3))
    labels = [
        torch.cat([m.labels for m in made.iter_micro_batches(batch, size)]).tolist()
        for size in (1, 2, 3)
    ]
    assert labels[0] == labels[1] == labels[2]


@pytest.mark.parametrize("size", [2, 3])
def test_shares_of_processes_hold_each_masked_token_once(size: int) -> None:
    made = builder()
    batch = made.build(np.array([0, 1, 2]), np.random.default_rng(3))
    shares = [batch.every(size, first) for first in range(size)]
    (whole,) = made.iter_micro_batches(batch, 3)
    for first, share in enumerate(shares):
        assert share.lengths.tolist() == batch.lengths[first::size].tolist()
        assert share.source_lengths.tolist() == batch.source_lengths[first::size].tolist()
        (part,) = made.iter_micro_batches(share, 3)
        rows, width = whole.input_ids[first::size], part.input_ids.shape[1]
        assert torch.equal(part.input_ids, rows[:, :width])
        row, column = part.positions // width, part.positions % width
        places = (first + size * row) * whole.input_ids.shape[1] + column
        expected = dict(zip(whole.positions.tolist(), whole.labels.tolist(), strict=True))
        found = dict(zip(places.tolist(), part.labels.tolist(), strict=True))
        assert found.items() <= expected.items()
    assert sum(len(s.masked.labels) for s in shares) == len(batch.masked.labels)
