from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.characters import build_block
from labse.cleaning.text_scores import repetition_shares

TEXTS = st.lists(st.text("ab ", max_size=40), max_size=5)


@settings(deadline=None)
@given(TEXTS)
def test_the_share_is_that_of_a_plain_count(texts: list[str]) -> None:
    shares = repetition_shares(build_block(texts))
    for text, share in zip(texts, shares.tolist(), strict=True):
        grams = Counter(text[i : i + 8] for i in range(len(text) - 7))
        expected = 1 - len(grams) / grams.total() if grams else 0
        assert share == pytest.approx(expected, abs=1e-6)


def test_a_repeated_phrase_has_a_high_share_and_prose_has_none() -> None:
    texts = ["buy now! " * 20, "a" * 100, "The quick brown fox jumps over the lazy dog.", ""]
    phrase, letter, prose, empty = repetition_shares(build_block(texts)).tolist()
    assert phrase > 0.9
    assert letter > 0.9
    assert prose == empty == 0


def test_texts_do_not_count_for_each_other() -> None:
    assert repetition_shares(build_block(["one long sentence here"] * 2)).tolist() == [0, 0]
