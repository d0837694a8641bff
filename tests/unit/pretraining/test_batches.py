import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labse.pretraining.batches import (
    BatchBuilder,
    ExampleOrder,
    group_probs,
    permute,
    split_examples,
)
from labse.pretraining.config import MaskingConfig
from labse.pretraining.examples import ExampleCollector, TokenizedExamples

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


def test_words_of_both_sides_of_a_pair_have_the_same_positions_where_asked() -> None:
    made = builder(positions="reset", segments="on")
    batch = made.build(np.array([1, 2]), np.random.default_rng(0))
    (micro,) = made.iter_micro_batches(batch, 8)
    assert micro.position_ids is not None
    assert micro.token_type_ids is not None
    assert micro.position_ids[1].tolist() == [0, 1, 2, 1, 2, 3]
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


def examples(**sizes: int) -> TokenizedExamples:
    """Examples of three tokens, `mlm_deu=4` of them."""
    collector = ExampleCollector()
    for name, size in sizes.items():
        objective, lang = name.split("_")
        for _ in range(size):
            collector.add("mlm" if objective == "mlm" else "tlm", lang, [2, 9, 3])
    return collector.build()


@given(size=st.integers(1, 300), key=st.integers(0, 2**63))
def test_permute_is_one_to_one(size: int, key: int) -> None:
    places = np.arange(size)
    result = permute(places, np.full(size, size), np.full(size, key, np.uint64))
    assert sorted(result.tolist()) == places.tolist()


def test_permute_depends_on_the_key_and_scatters() -> None:
    places, sizes = np.arange(1000), np.full(1000, 1000)
    first, second = (permute(places, sizes, np.full(1000, k, np.uint64)) for k in (1, 2))
    assert (first == second).mean() < 0.01
    # Of a random permutation the correlation with its places has deviation 1 / sqrt(999).
    assert abs(np.corrcoef(places, first)[0, 1]) < 4 / np.sqrt(999)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_no_example_is_drawn_twice_before_all_of_its_group_are_drawn_once(
    sizes: list[int], batch_size: int, seed: int
) -> None:
    ends = np.cumsum(sizes)
    groups = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    probs = np.full(len(sizes), 1 / len(sizes))
    order = ExampleOrder(groups, probs, batch_size=batch_size, seed=seed)
    drawn = np.concatenate([order.batch(step) for step in range(60)])
    for group in groups:
        counts = np.bincount(drawn, minlength=int(ends[-1]))[group]
        assert counts.max() - counts.min() <= 1


def test_an_epoch_has_each_example_once_also_where_the_plan_begins_again() -> None:
    sizes, probs = (50_000, 7, 1), np.array([0.9, 0.0999, 0.0001])
    ends = np.cumsum(sizes)
    groups = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    order = ExampleOrder(groups, probs, batch_size=1000, seed=0)
    drawn = np.concatenate([order.batch(step) for step in range(150)])  # The plan has 65,536.
    for group in groups:
        of_group = drawn[np.isin(drawn, group)]
        epochs = [of_group[n : n + len(group)] for n in range(0, len(of_group), len(group))]
        assert len(epochs) > 2
        for epoch in epochs[:-1]:
            np.testing.assert_array_equal(np.sort(epoch), group)
        assert len(np.unique(epochs[-1])) == len(epochs[-1])
        if len(group) > 1:
            assert not np.array_equal(epochs[0], epochs[1])


def test_a_batch_is_the_same_however_a_run_came_to_it() -> None:
    groups = [np.arange(50), np.arange(50, 53)]
    build = lambda seed: ExampleOrder(groups, np.array([0.7, 0.3]), batch_size=16, seed=seed)  # noqa: E731
    walked, jumped = build(1), build(1)
    for step in range(10_000, 10_003):
        walked.batch(step)
    np.testing.assert_array_equal(walked.batch(10_003), jumped.batch(10_003))
    assert not np.array_equal(jumped.batch(0), build(2).batch(0))


def test_groups_are_drawn_with_their_probability() -> None:
    groups = [np.arange(10), np.arange(10, 20), np.empty(0, np.int64), np.arange(20, 21)]
    order = ExampleOrder(groups, np.array([0.6, 0.3, 0.1, 1e-9]), batch_size=1 << 16, seed=0)
    shares = np.bincount(np.minimum(order.batch(3) // 10, 2)) / (1 << 16)
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3, 2**-16], atol=2**-15)


def test_languages_are_smoothed_within_each_objective() -> None:
    built = examples(mlm_deu=16, mlm_fra=1, tlm_deu=3)
    probs = group_probs(built, smoothing_exponent=0.5, tlm_share=0.25)
    np.testing.assert_allclose(probs, [0.75 * 4 / 5, 0.75 / 5, 0.25])
    assert group_probs(built, smoothing_exponent=1, tlm_share=None)[2] == 0.5
    only = group_probs(examples(mlm_deu=1, mlm_fra=1), smoothing_exponent=0, tlm_share=None)
    assert only.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("wanted", "held_out"), [(3, [3, 0]), (100, [5, 0]), (0, [0, 0])])
def test_a_twentieth_at_most_is_held_out(wanted: int, held_out: list[int]) -> None:
    split = split_examples(examples(mlm_deu=100, mlm_fra=1), num_validation=wanted, seed=0)
    assert [len(group) for group in split.validation] == held_out
    for group, (train, held) in enumerate(zip(split.train, split.validation, strict=True)):
        assert not set(train) & set(held)
        assert len(train) + len(held) == (100, 1)[group]
