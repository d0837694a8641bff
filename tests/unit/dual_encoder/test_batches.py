from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training_data import pairs_of

from labse.dual_encoder.config import DataConfig
from labse.dual_encoder.data.pairs import TokenizedPairs
from labse.dual_encoder.data.sampler import PairSampler
from labse.errors import LabseError


class Sampler:
    """A `PairSampler` that gives the numbers of sentences too."""

    def __init__(self, pairs: TokenizedPairs, sampler: PairSampler) -> None:
        self._sentences = pairs.pairs.reshape(-1)
        self.sides = sampler.sides

    def batch(self, step: int) -> np.ndarray:
        return self._sentences[self.sides(step)]


def build_sampler(
    pairs: TokenizedPairs, *, batch_size: int, seed: int = 0, **options: object
) -> Sampler:
    config = DataConfig.model_validate({"pairs": ("x",)} | options)
    return Sampler(pairs, PairSampler(pairs, config, batch_size=batch_size, seed=seed))


def random_pairs(
    seed: int, num_pairs: int, num_sentences: int, num_langs: int = 3
) -> TokenizedPairs:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 9, num_sentences)
    input_ids = generator.integers(5, 100, lengths.sum())
    return replace(
        pairs_of(input_ids, lengths, generator.integers(0, num_sentences, (num_pairs, 2))),
        pair_langs=np.sort(generator.integers(0, num_langs, num_pairs)).astype(np.int16),
        lang_pairs=tuple(f"eng-{i}" for i in range(num_langs)),
        pair_corpora=generator.integers(0, 2, num_pairs).astype(np.int16),
        corpora=("news", "web"),
    )


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), step=st.integers(0, 100), batch_size=st.integers(2, 12))
def test_no_sentence_stands_twice_in_a_batch(seed: int, step: int, batch_size: int) -> None:
    pairs = random_pairs(seed, 200, 150)
    sampler = build_sampler(pairs, batch_size=batch_size, smoothing_exponent=0.5, seed=seed)
    batch = sampler.batch(step)
    assert batch.shape == (batch_size, 2)
    assert len(np.unique(batch)) == 2 * batch_size
    rows = {tuple(pair) for pair in pairs.pairs.tolist()}
    assert all(tuple(pair) in rows for pair in batch.tolist())


@settings(deadline=None)
@given(seed=st.integers(0, 2**16), steps=st.lists(st.integers(0, 60), min_size=1, max_size=8))
def test_a_batch_depends_on_seed_and_step_alone(seed: int, steps: list[int]) -> None:
    pairs = random_pairs(1, 300, 400)

    def build() -> Sampler:
        return build_sampler(pairs, batch_size=4, smoothing_exponent=0.5, seed=seed)

    in_order = build()
    by_step = {step: in_order.batch(step).copy() for step in range(61)}
    jumping = build()
    for step in steps:
        assert np.array_equal(jumping.batch(step), by_step[step])


def test_other_seeds_give_other_batches() -> None:
    pairs = random_pairs(1, 300, 400)
    first, second = (
        build_sampler(pairs, batch_size=8, smoothing_exponent=0.5, seed=seed).batch(0)
        for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_smoothing_draws_small_languages_more_often() -> None:
    # 900 pairs against 100, every tenth; all sentences distinct, so there are no repeats.
    pairs = replace(
        pairs_of(np.full(6000, 7), [3] * 2000),
        pair_langs=(np.arange(1000) % 10 == 9).astype(np.int16),
        lang_pairs=("eng-big", "eng-small"),
    )

    def small_share(exponent: float) -> float:
        sampler = build_sampler(pairs, batch_size=8, smoothing_exponent=exponent, seed=0)
        drawn = np.concatenate([sampler.batch(step) for step in range(1000)])
        return float((drawn[:, 0] // 2 % 10 == 9).mean())

    # share^a / sum of shares^a: 0.1 for a = 1, 1 / (1 + 3) = 0.25 for a = 0.5. Repeats within a
    # window lower the small share a little.
    assert small_share(1.0) == pytest.approx(0.1, abs=0.02)
    assert small_share(0.5) == pytest.approx(0.25, abs=0.04)


def test_sentences_of_a_batch_have_like_lengths() -> None:
    pairs = random_pairs(3, 4000, 9000)
    sampler = build_sampler(pairs, batch_size=16, smoothing_exponent=0.5, seed=0)
    lengths = np.diff(pairs.offsets)
    spread = [np.ptp(lengths[sampler.batch(step)].max(axis=1)) for step in range(32)]
    # Lengths run from 2 to 8; a window of 16 batches sorted by length leaves about 1 a batch.
    assert np.mean(spread) < 1.5


def test_long_and_short_batches_take_turns() -> None:
    pairs = random_pairs(3, 4000, 9000)
    sampler = build_sampler(pairs, batch_size=16, smoothing_exponent=0.5, seed=0)
    lengths = np.diff(pairs.offsets)
    longest = [lengths[sampler.batch(step)].max() for step in range(16)]
    assert longest != sorted(longest)


def test_pairs_that_repeat_one_sentence_do_not_crowd_out_the_others() -> None:
    pairs = random_pairs(0, 2040, 4000)
    numbers = np.arange(4080, dtype=np.int32).reshape(-1, 2) % 4000
    numbers[40:] = [[80, 81]]  # 40 distinct pairs, then 2,000 copies of another.
    pairs.pairs[:] = numbers
    sampler = build_sampler(pairs, batch_size=10, smoothing_exponent=1.0, seed=0)
    drawn = np.concatenate([sampler.batch(step) for step in range(40)])
    # Forty draws of 10 out of 41 miss a given pair with probability (31/41)^40 = 1.4e-5.
    assert len(np.unique(drawn[:, 0])) == 41


def test_a_corpus_exponent_lifts_the_small_corpora_of_a_language() -> None:
    # 900 pairs of one corpus against 100 of another, all sentences distinct.
    pairs = replace(
        pairs_of(np.full(6000, 7), [3] * 2000),
        pair_corpora=np.repeat([0, 1], [900, 100]).astype(np.int16),
        corpora=("web", "news"),
    )
    sampler = build_sampler(
        pairs, batch_size=8, smoothing_exponent=1.0, corpus_exponent=0.5, seed=0
    )
    drawn = np.concatenate([sampler.batch(step) for step in range(1000)])
    assert float((drawn[:, 0] >= 1800).mean()) == pytest.approx(0.25, abs=0.04)


def test_a_batch_larger_than_the_corpus_says_how_many_there_are() -> None:
    pairs = random_pairs(0, 3, 6)
    pairs.pairs[:] = [[0, 1], [2, 3], [0, 4]]
    with pytest.raises(LabseError, match=r"a batch of 3 pairs .* there are 2"):
        build_sampler(pairs, batch_size=3, smoothing_exponent=1.0, seed=0)
    assert len(build_sampler(pairs, batch_size=2, smoothing_exponent=1.0, seed=0).batch(7)) == 2


def test_repeats_are_taken_where_the_loss_masks_them() -> None:
    pairs = random_pairs(1, 12, 5)
    with pytest.raises(LabseError, match=r'data\.repeats = "mask"'):
        build_sampler(pairs, batch_size=8, smoothing_exponent=1.0, seed=0)
    sampler = build_sampler(pairs, batch_size=8, smoothing_exponent=1.0, repeats="mask", seed=0)
    rows = {tuple(pair) for pair in pairs.pairs.tolist()}
    for step in (40, 3):
        batch = sampler.batch(step)
        assert batch.shape == (8, 2)
        assert all(tuple(pair) in rows for pair in batch.tolist())
    other = build_sampler(pairs, batch_size=8, smoothing_exponent=1.0, repeats="mask", seed=0)
    assert np.array_equal(other.batch(3), sampler.batch(3))


# ---- Directions, pivots, one language pair, caps ----


def stored_rows(pairs: TokenizedPairs) -> set[tuple[int, int]]:
    return {(source, target) for source, target in pairs.pairs.tolist()}


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**16),
    step=st.integers(0, 40),
    options=st.fixed_dictionaries(
        {
            "direction": st.sampled_from(["as-stored", "random"]),
            "batches": st.sampled_from(["mixed", "one-language-pair", "by-corpus"]),
            "repeats": st.sampled_from(["skip", "mask"]),
            "max_pairs_per_corpus": st.sampled_from([None, 60]),
            "max_pairs_per_lang_pair": st.sampled_from([None, 40]),
        }
    ),
)
def test_whatever_is_asked_for_a_batch_holds_stored_pairs_and_depends_on_seed_and_step(
    seed: int, step: int, options: dict[str, object]
) -> None:
    pairs = random_pairs(seed, 240, 500)
    sampler = build_sampler(pairs, batch_size=6, seed=seed, **options)
    sides, batch = sampler.sides(step), sampler.batch(step)
    assert batch.shape == (6, 2)
    assert np.array_equal(pairs.pairs.reshape(-1)[sides], batch)
    # Both sides of a row are of one pair.
    assert np.array_equal(sides[:, 0] // 2, sides[:, 1] // 2)
    assert (sides[:, 0] != sides[:, 1]).all()
    if options["direction"] == "as-stored":
        assert set(map(tuple, batch.tolist())) <= stored_rows(pairs)
    if options["repeats"] == "skip":
        assert len(np.unique(batch)) == batch.size
    if options["batches"] == "one-language-pair":
        assert len(set(pairs.pair_langs[sides[:, 0] // 2].tolist())) == 1
    other = build_sampler(pairs, batch_size=6, seed=seed, **options)
    other.batch(step + 17)
    assert np.array_equal(other.sides(step), sides)


def test_half_of_the_pairs_are_turned_round() -> None:
    pairs = random_pairs(0, 2000, 20_000)
    sampler = build_sampler(pairs, batch_size=100, direction="random")
    sides = np.concatenate([sampler.sides(step) for step in range(20)])
    # 2,000 draws of one half: a standard deviation is 0.011.
    assert np.mean(sides[:, 0] % 2) == pytest.approx(0.5, abs=0.05)


def distinct_pairs(counts: list[int]) -> TokenizedPairs:
    """Pairs of which no two share a sentence, so many of each language."""
    pairs = random_pairs(0, sum(counts), 2 * sum(counts), len(counts))
    pairs.pairs[:] = np.arange(2 * sum(counts)).reshape(-1, 2)
    pairs.pair_langs[:] = np.repeat(np.arange(len(counts)), counts)
    return pairs


def test_batches_of_one_language_pair_follow_the_smoothed_shares() -> None:
    pairs = distinct_pairs([900, 100])
    sampler = build_sampler(
        pairs, batch_size=8, batches="one-language-pair", smoothing_exponent=0.5
    )
    langs = [pairs.pair_langs[sampler.sides(step)[0, 0] // 2] for step in range(1000)]
    assert np.mean(langs) == pytest.approx(0.25, abs=0.04)  # 1 / (1 + 3); deviation 0.014.


def test_batches_of_one_language_pair_hold_like_lengths_and_all_pairs() -> None:
    pairs = distinct_pairs([64])
    sampler = build_sampler(pairs, batch_size=16, batches="one-language-pair")
    lengths = np.diff(pairs.offsets)
    drawn = [sampler.batch(step) for step in range(60)]
    assert np.mean([np.ptp(lengths[batch].max(axis=1)) for batch in drawn]) < 3
    assert len(np.unique(np.concatenate(drawn))) == 128


def test_batches_by_corpus_hold_one_corpus_and_like_lengths() -> None:
    pairs = replace(distinct_pairs([3000]), corpora=("a", "b", "c"))
    pairs.pair_corpora[:] = np.arange(3000) % 3
    mixed, by_corpus = (
        build_sampler(pairs, batch_size=16, batches=batches) for batches in ("mixed", "by-corpus")
    )
    lengths = np.diff(pairs.offsets)

    def measure(sampler: PairSampler) -> tuple[float, float, Counter[int]]:
        rows = [sampler.sides(step)[:, 0] // 2 for step in range(96)]  # Three windows of 32.
        corpora = [Counter(pairs.pair_corpora[row].tolist()) for row in rows]
        of_one = np.mean([max(count.values()) / 16 for count in corpora])
        spread = np.mean([np.ptp(lengths[pairs.pairs[row]].max(axis=1)) for row in rows])
        return float(of_one), float(spread), sum(corpora, Counter())

    of_one, spread, drawn = measure(by_corpus)
    # At most two batches of a window are of two corpora.
    assert of_one > 0.95
    assert measure(mixed)[0] < 0.6
    assert spread < 3
    # 1,536 draws of a third: a standard deviation is 18.
    assert all(abs(count - 512) < 80 for count in drawn.values())


def test_a_language_pair_with_too_few_pairs_for_a_batch_is_named_and_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pairs = distinct_pairs([50, 7, 60])
    options = {"batch_size": 8, "batches": "one-language-pair"}
    sampler = build_sampler(pairs, **options)
    assert "1 of 3 language pairs are never drawn" in caplog.text
    assert "eng-1 7;" in caplog.text
    langs = {int(pairs.pair_langs[sampler.sides(step)[0, 0] // 2]) for step in range(50)}
    assert langs == {0, 2}
    sampler = build_sampler(pairs, repeats="mask", **options)
    langs = {int(pairs.pair_langs[sampler.sides(step)[0, 0] // 2]) for step in range(50)}
    assert langs == {0, 1, 2}


def test_no_language_pair_with_enough_pairs_is_an_error() -> None:
    with pytest.raises(LabseError, match=r"8 pairs of one language pair needs .* there are 7"):
        build_sampler(distinct_pairs([7, 5]), batch_size=8, batches="one-language-pair")


def test_mixed_batches_take_a_language_with_fewer_pairs_than_a_batch() -> None:
    pairs = distinct_pairs([300, 3])
    sampler = build_sampler(pairs, batch_size=16, smoothing_exponent=0.0)
    langs = np.concatenate([pairs.pair_langs[sampler.sides(s)[:, 0] // 2] for s in range(64)])
    # A window of 4 batches has each of the three at most once.
    assert 0 < (langs == 1).sum() <= 3 * 16


def shared_english(num_sentences: int, num_langs: int) -> TokenizedPairs:
    """Each English sentence (even thousands apart) in every language; half stored as targets."""
    pairs = random_pairs(0, num_sentences * num_langs, num_sentences * (1 + num_langs), num_langs)
    english = np.repeat(np.arange(num_sentences), num_langs)
    pairs.pairs[:, 0] = english
    pairs.pairs[:, 1] = np.arange(num_sentences, num_sentences * (1 + num_langs))
    pairs.pair_langs[:] = np.tile(np.arange(num_langs), num_sentences)
    codes = ("deu", "fra", "zho-Hant", "rus")[:num_langs]
    return replace(pairs, lang_pairs=tuple(f"eng-{code}" for code in codes))


def test_pivot_pairs_are_translations_of_one_sentence_into_two_languages() -> None:
    pairs = shared_english(100, 4)
    sampler = build_sampler(pairs, batch_size=10, pivot_share=1.0)
    for step in range(20):
        sides = sampler.sides(step)
        # Eight tries of finding another language among four fail with probability 2e-5.
        sides = sides[sides[:, 0] // 2 != sides[:, 1] // 2]
        assert len(sides) >= 9
        rows = sides // 2
        assert (sides % 2 == 1).all()  # Both sides are the translations.
        assert np.array_equal(pairs.pairs[rows[:, 0], 0], pairs.pairs[rows[:, 1], 0])
        langs = pairs.pair_langs[rows]
        assert (langs[:, 0] != langs[:, 1]).all()
        # No two pairs come from one English sentence: they would be each other's translations.
        assert len(np.unique(pairs.pairs[rows[:, 0], 0])) == len(sides)


def test_the_pivot_share_is_that_of_the_pairs_drawn() -> None:
    pairs = shared_english(400, 3)
    sampler = build_sampler(pairs, batch_size=20, pivot_share=0.3)
    sides = np.concatenate([sampler.sides(step) for step in range(100)])
    is_pivot = sides[:, 0] // 2 != sides[:, 1] // 2
    assert np.mean(is_pivot) == pytest.approx(0.3, abs=0.04)


def test_pairs_without_a_partner_stay_and_no_pivot_at_all_is_an_error() -> None:
    pairs = shared_english(40, 1)
    sampler = build_sampler(pairs, batch_size=4, pivot_share=1.0)
    assert set(map(tuple, sampler.batch(3).tolist())) <= stored_rows(pairs)
    with pytest.raises(LabseError, match=r"no pair has a side in rus; set data\.pivot_lang"):
        build_sampler(pairs, batch_size=4, pivot_share=0.5, pivot_lang="rus")


@pytest.mark.parametrize("repeats", ["skip", "mask"])
def test_one_pair_and_all_pairs_identical(repeats: str) -> None:
    one = distinct_pairs([1])
    same = distinct_pairs([9])
    same.pairs[:] = [[0, 1]]
    for pairs in (one, same):
        if repeats == "skip":
            with pytest.raises(LabseError, match=r"a batch of 2 pairs .* there are 1"):
                build_sampler(pairs, batch_size=2)
            continue
        batch = build_sampler(pairs, batch_size=2, repeats=repeats).batch(5)
        assert batch.tolist() == [[0, 1], [0, 1]]


# ---- Little data: passes ----


@pytest.mark.parametrize("repeats", ["mask", "skip"])
@pytest.mark.parametrize("batches", ["mixed", "by-corpus", "one-language-pair"])
@pytest.mark.parametrize(("num_pairs", "batch_size"), [(120, 60), (1000, 500), (1500, 512)])
def test_batches_of_few_pairs_hold_no_copies_and_leave_no_pair_out(
    num_pairs: int, batch_size: int, batches: str, repeats: str
) -> None:
    sampler = build_sampler(
        distinct_pairs([num_pairs]), batch_size=batch_size, batches=batches, repeats=repeats
    )
    seen = np.zeros(num_pairs, dtype=np.int64)
    for step in range(12):
        rows = sampler.sides(step)[:, 0] // 2
        assert len(np.unique(rows)) == batch_size
        seen[rows] += 1
        # Each pair comes once before any comes twice.
        assert np.ptp(seen) <= 1


@settings(deadline=None, max_examples=30)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=3),
    batches=st.sampled_from(["mixed", "by-corpus", "one-language-pair"]),
    repeats=st.sampled_from(["mask", "skip"]),
    steps=st.lists(st.integers(0, 60), min_size=1, max_size=4),
)
def test_pairs_of_a_small_language_come_once_each_before_any_comes_twice(
    sizes: list[int], batches: str, repeats: str, steps: list[int]
) -> None:
    pairs = distinct_pairs([400, *sizes])

    def build() -> Sampler:
        return build_sampler(pairs, batch_size=20, batches=batches, repeats=repeats)

    in_order = build()
    by_step = [in_order.sides(step).copy() for step in range(61)]
    seen = np.zeros(len(pairs.pairs), dtype=np.int64)
    for sides in by_step:
        np.add.at(seen, sides[:, 0] // 2, 1)
    # A window that the end cuts off, or that repeats the few pairs of a language, leaves some.
    for lang, size in enumerate(sizes, start=1):
        if size >= 20:
            assert np.ptp(seen[pairs.pair_langs == lang]) <= 2

    jumping = build()
    for step in steps:
        assert np.array_equal(jumping.sides(step), by_step[step])


def test_passes_that_began_anew_far_in_a_run_are_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labse.dual_encoder.data.sampler._PART_PAIRS", 1)  # 64 windows a part.
    pairs = distinct_pairs([50])
    sampler = build_sampler(pairs, batch_size=20)
    drawn = [sampler.sides(step).copy() for step in range(200)]
    for step in (150, 3, 199, 127, 128, 63):
        assert np.array_equal(build_sampler(pairs, batch_size=20).sides(step), drawn[step])
        assert np.array_equal(sampler.sides(step), drawn[step])


def test_sentences_of_many_pairs_neither_stop_nor_leave_out_the_others() -> None:
    # A hundred pairs share their source; each batch has one of them at most.
    pairs = distinct_pairs([160])
    pairs.pairs[60:, 0] = pairs.pairs[60, 0]
    sampler = build_sampler(pairs, batch_size=20)
    seen = np.zeros(160, dtype=np.int64)
    for step in range(120):
        batch = sampler.batch(step)
        assert len(np.unique(batch)) == 40
        seen[sampler.sides(step)[:, 0] // 2] += 1
    assert seen.min() >= 1
    assert np.ptp(seen[:60]) <= 5  # Of 37 or 38 times; drawn each by itself, 25 or so.
