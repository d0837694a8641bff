from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.records import Sentence
from labse.vocab.counts import build_normalizer, build_splitter, count_words, smooth_counts

texts = st.text(
    st.one_of(
        st.sampled_from("aB'.- \t，中文ก้한é\u0301\u200d\u00a0\x00\x1c\x85\u2028😀"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"),
    )
)
counters = st.dictionaries(
    st.sampled_from("abcdef"),
    st.dictionaries(st.text("xyz", min_size=1), st.integers(1, 1000), min_size=1).map(Counter),
    min_size=1,
)


def test_words_are_counted_for_each_language() -> None:
    sentences = [Sentence("a b a", "eng"), Sentence("a", "fra"), Sentence("b", "eng")]
    assert count_words(sentences) == {"eng": {"a": 2, "b": 2}, "fra": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop.", ["Don", "'", "t", "stop", "."]),  # Cased; each mark a word.
        ("我爱Tokyo東京", ["我", "爱", "Tokyo", "東", "京"]),  # CJK characters alone.
        ("かな交じり", ["かな", "交", "じり"]),  # Kana are letters like others.
        ("มนุษย์ทั้งหลาย", ["มนุษย์ทั้งหลาย"]),  # No spaces: one word.
        ("éÉ", ["éÉ"]),  # Accents and case stay.
        ("a\u0000b\u200dc\ufeffd\x07", ["abcd"]),  # Control and format characters go.
        ("a\u00a0b\u3000c\td", ["a", "b", "c", "d"]),  # Every kind of space splits.
        ("$5+x", ["$", "5", "+", "x"]),  # ASCII symbols count as punctuation.
        ("", []),
        (" \t ", []),
    ],
)
def test_words_are_split_as_bert_does(text: str, words: list[str]) -> None:
    assert count_words([Sentence(text, "und")]) == {"und": Counter(words)}


@given(st.lists(st.tuples(st.sampled_from(["x", "y"]), texts), max_size=8))
def test_buffered_counting_equals_splitting_each_sentence(rows: list[tuple[str, str]]) -> None:
    normalizer, splitter = build_normalizer(), build_splitter()
    expected: dict[str, Counter[str]] = {}
    for lang, text in rows:
        counter = expected.setdefault(lang, Counter())
        pieces = splitter.pre_tokenize_str(normalizer.normalize_str(text))
        counter.update(word for word, _ in pieces)
    assert count_words(Sentence(text, lang) for lang, text in rows) == expected


def test_long_streams_are_counted_whole() -> None:
    sentences = (Sentence(f"w{i % 7} x", "eng" if i % 2 else "fra") for i in range(200_000))
    counts = count_words(sentences)
    assert counts["eng"]["x"] == counts["fra"]["x"] == 100_000
    assert counts["eng"].total() == 200_000


def test_smoothing_by_hand() -> None:
    # Shares 3/4 and 1/4; roots 0.8660 and 0.5, sum 1.3660; coefficients 0.8453 and 1.4641.
    counts = {"eng": Counter(a=2, b=1), "fra": Counter(a=1)}
    smoothed = smooth_counts(counts, 0.5)
    assert smoothed == pytest.approx({"a": 2 * 0.845299 + 1.464102, "b": 0.845299}, abs=1e-5)


@given(counters, st.floats(0, 1))
def test_smoothing_keeps_the_total(counts: dict[str, Counter[str]], exponent: float) -> None:
    total = sum(counter.total() for counter in counts.values())
    assert sum(smooth_counts(counts, exponent).values()) == pytest.approx(total)


@given(counters)
def test_exponent_one_is_the_identity(counts: dict[str, Counter[str]]) -> None:
    merged: Counter[str] = sum(counts.values(), Counter())
    assert smooth_counts(counts, 1.0) == pytest.approx(dict(merged))


def own_words(counts: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Gives each language words of its own, so that its mass is seen in the sum."""
    return {
        lang: Counter({f"{lang}:{word}": count for word, count in counter.items()})
        for lang, counter in counts.items()
    }


def masses(smoothed: dict[str, float]) -> dict[str, float]:
    result: dict[str, float] = {}
    for word, weight in smoothed.items():
        result[word[0]] = result.get(word[0], 0.0) + weight
    return result


@given(counters)
def test_exponent_zero_makes_all_languages_equally_heavy(counts: dict[str, Counter[str]]) -> None:
    weights = masses(smooth_counts(own_words(counts), 0.0))
    mean = sum(counter.total() for counter in counts.values()) / len(counts)
    assert weights == pytest.approx(dict.fromkeys(counts, mean))


@given(counters, st.floats(0, 1))
def test_a_smaller_language_gets_the_larger_coefficient_and_stays_the_smaller(
    counts: dict[str, Counter[str]], exponent: float
) -> None:
    weights = masses(smooth_counts(own_words(counts), exponent))
    by_size = sorted(counts, key=lambda lang: counts[lang].total())
    for small, large in pairwise(by_size):
        assert weights[small] <= weights[large] * (1 + 1e-9)
        small_coefficient = weights[small] / counts[small].total()
        assert small_coefficient >= weights[large] / counts[large].total() * (1 - 1e-9)


@given(counters, st.floats(0, 1))
def test_smoothing_does_not_depend_on_the_order_of_languages(
    counts: dict[str, Counter[str]], exponent: float
) -> None:
    turned = dict(reversed(counts.items()))
    assert smooth_counts(counts, exponent) == smooth_counts(turned, exponent)


def test_a_language_without_words_changes_nothing() -> None:
    counts = {"eng": Counter(a=3)}
    assert smooth_counts(counts | {"fra": Counter()}, 0.3) == smooth_counts(counts, 0.3)


def test_no_words_at_all_and_a_bad_exponent_are_refused() -> None:
    with pytest.raises(ValueError, match="count above 0"):
        smooth_counts({"eng": Counter()}, 0.3)
    with pytest.raises(ValueError, match="exponent is -1"):
        smooth_counts({"eng": Counter(a=1)}, -1)
