import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from labse.pretraining.config import MaskingConfig
from labse.pretraining.masking import MaskedTokens, mask_tokens

SPECIAL = np.arange(5, dtype=np.int32)  # [PAD] [UNK] [CLS] [SEP] [MASK]
MASK_ID = 4
VOCAB_SIZE = 1000


def texts(sizes: list[int], seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """[CLS] ordinary pieces [SEP] for each size."""
    generator = np.random.default_rng(seed)
    rows = [np.r_[2, generator.integers(5, VOCAB_SIZE, size), 3] for size in sizes]
    return np.concatenate(rows).astype(np.int32), np.array([len(row) for row in rows])


def mask(
    input_ids: NDArray[np.int32],
    lengths: NDArray[np.int64],
    source_lengths: NDArray[np.int64] | None = None,
    *,
    seed: int = 0,
    **options: float,
) -> MaskedTokens:
    return mask_tokens(
        input_ids,
        lengths,
        np.zeros_like(lengths) if source_lengths is None else source_lengths,
        special_ids=SPECIAL,
        mask_id=MASK_ID,
        vocab_size=VOCAB_SIZE,
        config=MaskingConfig.model_validate(options),
        generator=np.random.default_rng(seed),
    )


def test_a_fifth_is_masked_and_split_80_10_10_over_many_tokens() -> None:
    input_ids, lengths = texts([200] * 600)  # 120,000 tokens.
    masked = mask(input_ids, lengths)
    num_masked = len(masked.positions)
    assert num_masked == 600 * 40
    np.testing.assert_array_equal(masked.labels, input_ids[masked.positions])

    now = masked.input_ids[masked.positions]
    share_mask, share_same = (now == MASK_ID).mean(), (now == masked.labels).mean()
    # 24,000 draws: a standard deviation is 0.0026 at 0.8 and 0.0019 at 0.1; four of them.
    assert abs(share_mask - 0.8) < 0.0104
    assert abs(share_same - 0.1) < 0.0078
    replaced = now[(now != MASK_ID) & (now != masked.labels)]
    assert replaced.min() >= 5
    assert len(np.unique(replaced)) > 850  # Of 995, about 2,400 draws: 1 - e^-2.4 = 91 %.
    untouched = np.delete(np.arange(len(input_ids)), masked.positions)
    np.testing.assert_array_equal(masked.input_ids[untouched], input_ids[untouched])


def test_every_place_of_a_sentence_is_masked_alike() -> None:
    input_ids, lengths = texts([20] * 5000)
    places = mask(input_ids, lengths).positions % 22
    shares = np.bincount(places, minlength=22)[1:-1] / 5000
    assert np.abs(shares - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 5000)


def test_a_long_text_has_at_most_80_masks() -> None:
    input_ids, lengths = texts([510, 100])
    rows = mask(input_ids, lengths).positions >= 512
    assert (np.sum(~rows), np.sum(rows)) == (80, 20)


def test_both_sides_of_a_pair_are_masked_and_share_one_cap() -> None:
    source, target = texts([300] * 40, seed=1), texts([200] * 40, seed=2)
    sides = [
        np.concatenate([source[0].reshape(40, 302), target[0].reshape(40, 202)[:, 1:]], axis=1)
    ]
    input_ids = sides[0].ravel()
    lengths, source_lengths = np.full(40, 503), np.full(40, 302)
    masked = mask(input_ids, lengths, source_lengths)
    per_row = np.bincount(masked.positions // 503, minlength=40)
    assert per_row.tolist() == [80] * 40
    is_source = masked.positions % 503 < 302
    # 60 and 40 are wanted; 80 of these 100 stay, three fifths of them on the source.
    assert abs(is_source.mean() - 0.6) < 0.04

    short = mask(input_ids, lengths, source_lengths, max_masked=1000)
    assert np.bincount(short.positions // 503).tolist() == [100] * 40
    assert (short.positions % 503 < 302).sum() == 40 * 60


def test_a_side_of_one_token_has_it_masked() -> None:
    input_ids = np.array([2, 7, 3, 8, 9, 10, 11, 12, 3], np.int32)
    masked = mask(input_ids, np.array([9]), np.array([3]))
    assert masked.positions[0] == 1
    assert len(masked.positions) == 2


@pytest.mark.parametrize("row", [[2, 3], [2, 1, 1, 3]])
def test_special_tokens_are_never_masked_even_alone(row: list[int]) -> None:
    masked = mask(np.array(row, np.int32), np.array([len(row)]))
    assert masked.positions.tolist() == []
    assert masked.input_ids.tolist() == row


def test_special_pieces_anywhere_in_the_vocabulary_are_never_put_in_and_all_others_are() -> None:
    special = np.array([0, 2, 5, 6, 9], np.int32)
    masked = mask_tokens(
        np.full(4000, 3, np.int32),
        np.full(1, 4000),
        np.zeros(1, np.int64),
        special_ids=special,
        mask_id=6,
        vocab_size=10,
        config=MaskingConfig(max_masked=4000, mask_token_share=0.0, random_token_share=1.0),
        generator=np.random.default_rng(0),
    )
    counts = np.bincount(masked.input_ids[masked.positions], minlength=10)
    assert counts[special].tolist() == [0] * 5
    # 800 draws of five pieces: 160 each, with a standard deviation of 11.
    assert np.abs(counts[[1, 3, 4, 7, 8]] - 160).max() < 4 * 12


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8),
    share=st.floats(0.01, 0.99),
    cap=st.integers(1, 30),
    seed=st.integers(0, 9),
)
def test_counts_follow_the_rule_and_a_seed_repeats_them(
    sizes: list[int], share: float, cap: int, seed: int
) -> None:
    input_ids, lengths = texts(sizes)
    before = input_ids.copy()
    first, again = (
        mask(input_ids, lengths, seed=seed, masked_share=share, max_masked=cap) for _ in range(2)
    )
    rows = np.repeat(np.arange(len(sizes)), lengths)
    expected = [min(cap, n, max(1, round(share * n))) for n in sizes]
    assert np.bincount(rows[first.positions], minlength=len(sizes)).tolist() == expected
    np.testing.assert_array_equal(input_ids, before)
    np.testing.assert_array_equal(first.input_ids, again.input_ids)
    assert not np.isin(first.labels, SPECIAL).any()
