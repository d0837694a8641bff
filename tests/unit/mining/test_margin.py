import numpy as np
import pytest

from labse.mining.margin import Margin, margin_scores


@pytest.mark.parametrize(
    ("margin", "expected"), [("ratio", 2.0), ("distance", 0.4), ("absolute", 0.8)]
)
def test_each_margin_by_hand(margin: Margin, expected: float) -> None:
    # The mean of 0.5 and 0.3 is 0.4: 0.8 / 0.4, 0.8 - 0.4 and 0.8.
    score = margin_scores(np.array([0.8]), np.array([0.5]), np.array([0.3]), margin)
    assert score == pytest.approx([expected])
    assert score.dtype == np.float32


@pytest.mark.parametrize("margin", ["ratio", "distance", "absolute"])
def test_the_three_arrays_broadcast(margin: Margin) -> None:
    scores = margin_scores(np.ones((3, 1)), np.ones((3, 1)), np.ones((1, 4)), margin)
    assert scores.shape == (3, 4)


def test_a_ratio_to_a_mean_that_is_not_positive_is_minus_infinity() -> None:
    means = np.array([0.0, -0.5, 0.5])
    scores = margin_scores(np.array([0.2, -0.5, -0.5]), means, means, "ratio")
    assert scores.tolist() == [-np.inf, -np.inf, -1.0]


def test_source_and_target_change_places_without_effect() -> None:
    similarities, source, target = np.random.default_rng(0).random((3, 50))
    scores = margin_scores(similarities, source, target, "ratio")
    assert (scores == margin_scores(similarities, target, source, "ratio")).all()


def test_an_unknown_margin_is_refused() -> None:
    with pytest.raises(ValueError, match="ratio, distance, absolute, not 'cosine'"):
        margin_scores(np.ones(1), np.ones(1), np.ones(1), "cosine")  # type: ignore[arg-type]
