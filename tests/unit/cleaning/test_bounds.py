import numpy as np
import pytest

from labse.cleaning.bounds import KEPT, PairBounds, TextBounds, find_reasons
from labse.config import parse_config
from labse.errors import UsageError


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_paper_keeps_10_to_5000_characters_both_ends_included() -> None:
    scores = {"characters": column(9, 10, 5000, 5001)}
    assert find_reasons(scores, TextBounds()).tolist() == ["too short", KEPT, KEPT, "too long"]


def test_the_first_bound_that_fails_is_the_reason() -> None:
    scores = {"characters": column(3), "letter_share": column(0), "digit_share": column(1)}
    assert find_reasons(scores, TextBounds()).tolist() == ["too short"]
    assert find_reasons(scores, TextBounds(min_characters=0)).tolist() == ["few letters"]


def test_a_score_that_is_not_known_passes() -> None:
    scores = {"language_match": column(np.nan, 0, 0.5, 1)}
    reasons = find_reasons(scores, TextBounds()).tolist()
    assert reasons == [KEPT, "wrong language", KEPT, KEPT]


def test_reasons_of_a_pair_name_the_side_or_both() -> None:
    scores = {
        "source_script_share": column(1, 0, 1, 1),
        "target_script_share": column(0, 1, 1, 1),
        "overlap": column(0, 0, 1, 0),
        "length_ratio": column(1, 1, 1, 9),
    }
    assert find_reasons(scores, PairBounds()).tolist() == [
        "target: wrong script",
        "source: wrong script",
        "untranslated",
        "length ratio",
    ]


def test_a_bound_of_pairs_is_refused_for_texts() -> None:
    with pytest.raises(UsageError, match="unknown key 'max_overlap'"):
        parse_config(TextBounds, {"max_overlap": 1}, where="bounds.toml")
