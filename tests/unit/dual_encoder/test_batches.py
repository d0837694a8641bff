import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.dual_encoder.batches import PairSampler
from labse.dual_encoder.pairs import TokenizedPairs
from labse.errors import LabseError


def random_pairs(
    seed: int, num_pairs: int, num_sentences: int, num_langs: int = 3
) -> TokenizedPairs:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 9, num_sentences)
    return TokenizedPairs(
        input_ids=generator.integers(5, 100, lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        pairs=generator.integers(0, num_sentences, (num_pairs, 2)).astype(np.int32),
        pair_langs=np.sort(generator.integers(0, num_langs, num_pairs)).astype(np.int16),
        lang_pairs=tuple(f"eng-{i}" for i in range(num_langs)),
        pair_corpora=generator.integers(0, 2, num_pairs).astype(np.int16),
        corpora=("news", "web"),
        num_truncated=0,
    )


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), step=st.integers(0, 100), batch_size=st.integers(2, 12))
def test_no_sentence_stands_twice_in_a_batch(seed: int, step: int, batch_size: int) -> None:
    pairs = random_pairs(seed, 200, 150)
    sampler = PairSampler(pairs, batch_size=batch_size, smoothing_exponent=0.5, seed=seed)
    batch = sampler.batch(step)
    assert batch.shape == (batch_size, 2)
    assert len(np.unique(batch)) == 2 * batch_size
    rows = {tuple(pair) for pair in pairs.pairs.tolist()}
    assert all(tuple(pair) in rows for pair in batch.tolist())


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), steps=st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_a_batch_depends_on_seed_and_step_alone(seed: int, steps: list[int]) -> None:
    pairs = random_pairs(1, 300, 400)

    def build() -> PairSampler:
        return PairSampler(pairs, batch_size=4, smoothing_exponent=0.5, seed=seed)

    in_order = build()
    by_step = {step: in_order.batch(step).copy() for step in range(61)}
    jumping = build()
    for step in steps:
        assert np.array_equal(jumping.batch(step), by_step[step])


def test_other_seeds_give_other_batches() -> None:
    pairs = random_pairs(1, 300, 400)
    first, second = (
        PairSampler(pairs, batch_size=8, smoothing_exponent=0.5, seed=seed).batch(0)
        for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_smoothing_draws_small_languages_more_often() -> None:
    # 900 pairs against 100, every tenth; all sentences distinct, so there are no repeats.
    pairs = TokenizedPairs(
        input_ids=np.full(6000, 7, dtype=np.int32),
        offsets=np.arange(0, 6001, 3),
        pairs=np.arange(2000, dtype=np.int32).reshape(-1, 2),
        pair_langs=(np.arange(1000) % 10 == 9).astype(np.int16),
        lang_pairs=("eng-big", "eng-small"),
        pair_corpora=np.zeros(1000, dtype=np.int16),
        corpora=("news",),
        num_truncated=0,
    )

    def small_share(exponent: float) -> float:
        sampler = PairSampler(pairs, batch_size=8, smoothing_exponent=exponent, seed=0)
        drawn = np.concatenate([sampler.batch(step) for step in range(1000)])
        return float((drawn[:, 0] // 2 % 10 == 9).mean())

    # share^a / sum of shares^a: 0.1 for a = 1, 1 / (1 + 3) = 0.25 for a = 0.5. Repeats within a
    # window lower the small share a little.
    assert small_share(1.0) == pytest.approx(0.1, abs=0.02)
    assert small_share(0.5) == pytest.approx(0.25, abs=0.04)


def test_sentences_of_a_batch_have_like_lengths() -> None:
    pairs = random_pairs(3, 4000, 9000)
    sampler = PairSampler(pairs, batch_size=16, smoothing_exponent=0.5, seed=0)
    lengths = np.diff(pairs.offsets)
    spread = [np.ptp(lengths[sampler.batch(step)].max(axis=1)) for step in range(32)]
    # Lengths run from 2 to 8; a window of 16 batches sorted by length leaves about 1 a batch.
    assert np.mean(spread) < 1.5


def test_long_and_short_batches_take_turns() -> None:
    pairs = random_pairs(3, 4000, 9000)
    sampler = PairSampler(pairs, batch_size=16, smoothing_exponent=0.5, seed=0)
    lengths = np.diff(pairs.offsets)
    longest = [lengths[sampler.batch(step)].max() for step in range(16)]
    assert longest != sorted(longest)


def test_pairs_that_repeat_one_sentence_do_not_crowd_out_the_others() -> None:
    pairs = random_pairs(0, 2040, 4000)
    numbers = np.arange(4080, dtype=np.int32).reshape(-1, 2) % 4000
    numbers[40:] = [[80, 81]]  # 40 distinct pairs, then 2,000 copies of another.
    pairs.pairs[:] = numbers
    sampler = PairSampler(pairs, batch_size=10, smoothing_exponent=1.0, seed=0)
    drawn = np.concatenate([sampler.batch(step) for step in range(40)])
    # Forty draws of 10 out of 41 miss a given pair with probability (31/41)^40 = 1.4e-5.
    assert len(np.unique(drawn[:, 0])) == 41


def test_a_corpus_exponent_lifts_the_small_corpora_of_a_language() -> None:
    # 900 pairs of one corpus against 100 of another, all sentences distinct.
    pairs = TokenizedPairs(
        input_ids=np.full(6000, 7, dtype=np.int32),
        offsets=np.arange(0, 6001, 3),
        pairs=np.arange(2000, dtype=np.int32).reshape(-1, 2),
        pair_langs=np.zeros(1000, dtype=np.int16),
        lang_pairs=("eng-deu",),
        pair_corpora=np.repeat([0, 1], [900, 100]).astype(np.int16),
        corpora=("web", "news"),
        num_truncated=0,
    )
    sampler = PairSampler(pairs, batch_size=8, smoothing_exponent=1.0, corpus_exponent=0.5, seed=0)
    drawn = np.concatenate([sampler.batch(step) for step in range(1000)])
    assert float((drawn[:, 0] >= 1800).mean()) == pytest.approx(0.25, abs=0.04)


def test_a_batch_larger_than_the_corpus_says_how_many_there_are() -> None:
    pairs = random_pairs(0, 3, 6)
    pairs.pairs[:] = [[0, 1], [2, 3], [0, 4]]
    with pytest.raises(LabseError, match=r"a batch of 3 pairs .* there are 2"):
        PairSampler(pairs, batch_size=3, smoothing_exponent=1.0, seed=0)
    assert len(PairSampler(pairs, batch_size=2, smoothing_exponent=1.0, seed=0).batch(7)) == 2


def test_repeats_are_taken_where_the_loss_masks_them() -> None:
    pairs = random_pairs(1, 12, 5)
    with pytest.raises(LabseError, match=r'data\.repeats = "mask"'):
        PairSampler(pairs, batch_size=8, smoothing_exponent=1.0, seed=0)
    sampler = PairSampler(pairs, batch_size=8, smoothing_exponent=1.0, repeats="mask", seed=0)
    rows = {tuple(pair) for pair in pairs.pairs.tolist()}
    for step in (40, 3):
        batch = sampler.batch(step)
        assert batch.shape == (8, 2)
        assert all(tuple(pair) in rows for pair in batch.tolist())
    other = PairSampler(pairs, batch_size=8, smoothing_exponent=1.0, repeats="mask", seed=0)
    assert np.array_equal(other.batch(3), sampler.batch(3))
