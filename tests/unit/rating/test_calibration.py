import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.errors import LabseError
from labse.rating.calibration import (
    fit_best_f1,
    fit_precision,
    num_ratings_needed,
    plot_precision,
    wilson_interval,
)
from labse.rating.ratings import MinedRow, Ratings


def ratings(rows: list[tuple[float, bool]]) -> Ratings:
    return Ratings(np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))


def drawn(num_rows: int, seed: int) -> Ratings:
    """Scores from 0 to 1 that are GOOD with the probability of their score."""
    rng = np.random.default_rng(seed)
    scores = rng.random(num_rows)
    return Ratings(scores, rng.random(num_rows) < scores)


def test_wilson_agrees_with_the_formula_solved_by_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for right, total in itertools.product((0, 1, 7, 20), (20, 50)):
        expected = stats.binomtest(right, total).proportion_ci(0.95, method="wilson")
        found = wilson_interval(right, total)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_numbers_of_ratings_needed() -> None:
    # Wilson's low end of n of n is n / (n + 1.96^2); by hand.
    assert [num_ratings_needed(share) for share in (0.8, 0.9, 0.95)] == [16, 35, 73]


def test_a_clean_step_is_found_where_it_is() -> None:
    # 40 GOOD from 0.6 up; below, BAD. From 0.5 up 40 of 50 are GOOD: 80 %.
    rows = [(0.6 + n / 100, True) for n in range(40)] + [(0.59 - n / 100, False) for n in range(40)]
    fit = fit_precision(ratings(rows), 0.8)
    assert fit.min_score == pytest.approx(0.5)
    assert fit.precision == pytest.approx(0.8)
    assert (fit.num_kept, fit.num_ratings) == (50, 80)
    assert fit.precision_interval == wilson_interval(40, 50)
    assert fit.min_score_interval.low <= 0.5 <= fit.min_score_interval.high
    assert fit.safe_min_score
    assert fit.safe_min_score > fit.min_score


def test_equal_scores_are_kept_or_dropped_together() -> None:
    rows = [(1.0, True)] * 30 + [(0.5, True)] * 10 + [(0.5, False)] * 20
    # All 60: 40 GOOD, 67 %. From 1.0 up: 100 %.
    assert fit_precision(ratings(rows), 0.8).min_score == 1.0
    assert fit_precision(ratings(rows), 0.6).min_score == 0.5


@settings(max_examples=10, deadline=None)
@given(st.integers(60, 120), st.integers(0, 10_000))
def test_precision_never_falls_and_is_bare_where_it_steps(num_rows: int, seed: int) -> None:
    data = drawn(num_rows, seed)
    fit = fit_precision(data, 0.5)
    assert (np.diff(fit.precisions) >= 0).all()
    # The whole is the bare share, whatever the smoothing.
    assert fit.precisions[0] == pytest.approx(data.is_good.mean())
    assert fit.precisions[-1] <= 1 + 1e-12
    below = fit.precisions[fit.thresholds < fit.min_score]
    assert fit.precision >= 0.5 - 1e-9
    assert (below < 0.5).all()


def test_isotonic_precisions_agree_with_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    data = drawn(150, 3)
    order = np.argsort(data.scores)
    fitted = optimize.isotonic_regression(data.is_good[order].astype(float)).x
    expected = fitted[::-1].cumsum()[::-1] / np.arange(150, 0, -1)
    np.testing.assert_allclose(fit_precision(data, 0.5).precisions, expected, atol=1e-9)


def test_the_interval_of_min_score_covers_the_truth_about_as_often_as_it_says() -> None:
    # The share of GOOD from t up is (1 + t) / 2 here: 0.8 is reached at 0.6.
    covered = 0
    for seed in range(12):
        interval = fit_precision(drawn(200, seed), 0.8).min_score_interval
        covered += interval.low <= 0.6 <= interval.high
    assert covered >= 9  # 11 expected at 95 %.


def test_too_few_ratings_are_refused() -> None:
    with pytest.raises(LabseError, match=r"15 rated so far, too few .* 80%: 16 could"):
        fit_precision(ratings([(1.0, True)] * 15), 0.8)
    rows = [(1.0 + n, True) for n in range(10)] + [(0.1, False)] * 50
    with pytest.raises(LabseError, match=r"only .* pairs are rated; 16 are needed"):
        fit_precision(ratings(rows), 0.8)


def test_a_precision_out_of_reach_is_told() -> None:
    rows = [(float(n % 7), n % 2 == 0) for n in range(100)]
    with pytest.raises(LabseError, match="no min_score reaches a precision of 95%"):
        fit_precision(ratings(rows), 0.95)


@pytest.mark.parametrize("precision", [0.0, 1.0, math.nan, -1.0])
def test_a_share_that_is_none_is_a_wrong_call(precision: float) -> None:
    with pytest.raises(ValueError, match="precision must be between"):
        fit_precision(ratings([(1.0, True)] * 50), precision)


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_precision(fit_precision(drawn(200, 0), 0.8), tmp_path / "precision.png")
    assert (tmp_path / "precision.png").read_bytes().startswith(b"\x89PNG")


def mined(rows: list[tuple[float, str]]) -> list[MinedRow]:
    return [MinedRow(n, score, text, text.upper()) for n, (score, text) in enumerate(rows, start=1)]


def test_the_best_f1_by_hand() -> None:
    gold = {(letter, letter.upper()) for letter in "abcdz"}
    rows = mined([(9, "a"), (8, "b"), (7, "x"), (6, "c"), (5, "y"), (4, "w")])
    # Kept 1, 2, 4 pairs: F1 2/6, 4/7, 6/9.
    fit = fit_best_f1(rows, gold)
    assert fit.min_score == 6
    assert (fit.precision, fit.recall) == (3 / 4, 3 / 5)
    assert fit.f1 == pytest.approx(6 / 9)
    assert (fit.num_kept, fit.num_right, fit.num_mined, fit.num_gold) == (4, 3, 6, 5)


def test_a_pair_mined_twice_counts_once_at_its_best_score() -> None:
    fit = fit_best_f1(mined([(1, "a"), (3, "a"), (2, "x")]), {("a", "A")})
    assert (fit.min_score, fit.f1, fit.num_mined) == (3, 1.0, 2)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abcdef")), min_size=1, max_size=15))
def test_no_other_threshold_has_a_better_f1(rows: list[tuple[int, str]]) -> None:
    gold = {("a", "A"), ("b", "B"), ("g", "G")}
    pairs: dict[str, int] = {}
    for score, text in rows:
        pairs[text] = max(score, pairs.get(text, -1))
    if not {"a", "b"} & pairs.keys():
        with pytest.raises(LabseError, match="none of the"):
            fit_best_f1(mined(rows), gold)
        return
    f1 = {}
    for threshold in pairs.values():
        kept = [text for text, score in pairs.items() if score >= threshold]
        f1[threshold] = 2 * sum(text in "ab" for text in kept) / (len(kept) + len(gold))
    fit = fit_best_f1(mined(rows), gold)
    assert fit.f1 == pytest.approx(max(f1.values()))
    assert fit.min_score == max(t for t, value in f1.items() if value == max(f1.values()))
