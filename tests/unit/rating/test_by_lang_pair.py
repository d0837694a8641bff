import numpy as np
import pytest

from labse.rating.by_lang_pair import fit_by_lang_pair, prior_strength
from labse.rating.calibration import fit_precision
from labse.rating.ratings import Ratings


def drawn(sizes: dict[str, tuple[int, float]], seed: int) -> Ratings:
    """Scores from 0 to 1; of language pair l a rating is GOOD by the chance score + its shift."""
    rng = np.random.default_rng(seed)
    scores = rng.random(sum(size for size, _ in sizes.values()))
    shifts = np.repeat([shift for _, shift in sizes.values()], [n for n, _ in sizes.values()])
    tags = tuple(tag for tag, (size, _) in sizes.items() for _ in range(size))
    return Ratings(scores, rng.random(len(scores)) < scores + shifts, lang_pairs=tags)


def test_few_ratings_are_drawn_to_all_and_many_are_not() -> None:
    ratings = drawn({"de-en": (3000, 0.0), "ja-en": (3000, -0.25), "is-en": (10, -0.25)}, 1)
    fit = fit_precision(ratings, 0.7)
    bounds = {bound.lang_pair: bound for bound in fit_by_lang_pair(ratings, fit)}
    # The share of GOOD from t up is (1 + t) / 2 for German, and a quarter less for Japanese.
    assert bounds["de-en"].min_score == pytest.approx(0.4, abs=0.1)
    assert bounds["ja-en"].min_score == pytest.approx(0.9, abs=0.1)
    assert [bound.num_ratings for bound in fit_by_lang_pair(ratings, fit)] == [3000, 3000, 10]
    width = {tag: bound.min_score_interval for tag, bound in bounds.items()}
    assert width["is-en"].high - width["is-en"].low > width["de-en"].high - width["de-en"].low


def test_the_prior_is_strong_where_language_pairs_do_not_differ() -> None:
    alike = drawn({"a": (1000, 0.0), "b": (1000, 0.0)}, 2)
    unlike = drawn({"a": (1000, 0.0), "b": (1000, -0.3)}, 2)
    assert prior_strength(alike, 0.3) == 20
    assert prior_strength(unlike, 0.3) < 15
