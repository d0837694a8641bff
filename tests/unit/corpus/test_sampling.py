import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.sampling import smoothed_shares

counts = st.dictionaries(
    st.sampled_from(["deu", "eng", "fra", "rus", "zho", "swa"]), st.integers(1, 10**10), min_size=1
)
exponents = st.floats(0, 1)


@given(counts, exponents)
def test_shares_sum_to_one(counts: dict[str, int], exponent: float) -> None:
    shares = smoothed_shares(counts, exponent)
    assert math.isclose(sum(shares.values()), 1, rel_tol=1e-12)
    assert list(shares) == list(counts)


@given(counts)
def test_exponent_one_keeps_the_shares_of_the_counts(counts: dict[str, int]) -> None:
    total = sum(counts.values())
    expected = {lang: count / total for lang, count in counts.items()}
    assert smoothed_shares(counts, 1) == pytest.approx(expected, rel=1e-12)


@given(counts)
def test_exponent_zero_gives_each_language_the_same(counts: dict[str, int]) -> None:
    uniform = dict.fromkeys(counts, 1 / len(counts))
    assert smoothed_shares(counts, 0) == pytest.approx(uniform, rel=1e-12)


@given(counts, exponents, st.integers(2, 1000))
def test_only_the_ratios_of_the_counts_matter(
    counts: dict[str, int], exponent: float, factor: int
) -> None:
    larger = {lang: count * factor for lang, count in counts.items()}
    shares = smoothed_shares(counts, exponent)
    assert smoothed_shares(larger, exponent) == pytest.approx(shares, rel=1e-9)


def test_a_square_root_by_hand() -> None:
    assert smoothed_shares({"eng": 9, "swa": 1}, 0.5) == pytest.approx({"eng": 0.75, "swa": 0.25})


def test_a_language_without_data_gets_nothing() -> None:
    assert smoothed_shares({"eng": 5, "swa": 0}, 0) == {"eng": 1.0, "swa": 0.0}


@pytest.mark.parametrize(
    ("counts", "exponent", "message"),
    [
        ({"eng": 1}, -0.1, "exponent is -0.1"),
        ({"eng": 1}, 1.1, "exponent is 1.1"),
        ({"eng": 1}, math.nan, "exponent is nan"),
        ({"eng": 1, "swa": -2}, 0.5, "count of 'swa' is negative: -2"),
        ({"eng": 0}, 0.5, "no language has a count above 0"),
        ({}, 0.5, "no language has a count above 0"),
    ],
)
def test_wrong_calls_are_refused(counts: dict[str, int], exponent: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smoothed_shares(counts, exponent)
