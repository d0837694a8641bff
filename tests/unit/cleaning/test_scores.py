import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.pair_scores import length_ratio, number_mismatch, overlap, weighted_length

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("text", "length"),
    [("abc", 3), ("été", 3), ("日本語", 9.9), ("かな", 4), ("한국어", 6), ("", 0)],
)
def test_han_and_syllables_stand_for_several_letters(text: str, length: float) -> None:
    assert weighted_length(text) == pytest.approx(length)


def test_the_length_ratio_is_the_longer_over_the_shorter_with_a_prior() -> None:
    assert length_ratio("a" * 85, "b" * 10) == pytest.approx(100 / 25)
    assert length_ratio("", "") == 1


@pytest.mark.parametrize(
    ("source", "target", "share"),
    [
        ("Save the file", "Save the FILE!", 1),
        ("Save the file", "Datei speichern", 0),
        ("red house", "red tree", 3 / 8),
        ("12 %", "12 %", 0),  # Without letters there is nothing to translate.
        ("a a a", "a", 1 / 3),
    ],
)
def test_overlap_is_the_share_of_letters_in_common_words(
    source: str, target: str, share: float
) -> None:
    assert overlap(source, target) == pytest.approx(share)


@pytest.mark.parametrize(
    ("source", "target", "mismatch"),
    [
        ("In 1998", "1998 im Jahr", 0),
        ("1,000 men", "1 000 hommes", 0),
        ("12/31/2009", "31.12.2009", 0),
        ("call 5", "اتصل ٥", 0),
        ("page 7", "Seite sieben", 0),  # It may be spelled out.
        ("chapter 3", "Kapitel 4", 1),
        ("3 of 10", "3 von 12", 0.5),
    ],
)
def test_numbers_disagree_only_where_both_sides_have_some(
    source: str, target: str, mismatch: float
) -> None:
    assert number_mismatch(source, target) == pytest.approx(mismatch)


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_checks_take_any_text_and_do_not_mind_the_sides(source: str, target: str) -> None:
    for check in (length_ratio, overlap, number_mismatch):
        assert check(source, target) == pytest.approx(check(target, source))
        assert check(source, target) >= 0
    assert overlap(source, target) <= 1
    assert number_mismatch(source, target) <= 1
    assert number_mismatch(source, source) == 0


@settings(deadline=None)
@given(st.text("ab c1", max_size=30), st.text("ab c1", max_size=30))
def test_overlap_is_that_of_counters_of_words(source: str, target: str) -> None:
    words = [Counter(re.findall("[a-z]+", text)) for text in (source, target)]
    letters = [len("".join(count.elements())) for count in words]
    expected = len("".join((words[0] & words[1]).elements())) / max(*letters, 1)
    assert overlap(source, target) == pytest.approx(expected)


def test_lines_of_a_million_characters_are_checked_in_linear_time() -> None:
    source = " ".join(f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}x" * 2 for n in range(140_000))
    assert overlap(source, source) == 1
    assert number_mismatch("1 " * 300_000, "2 " * 300_000) == 1
    assert length_ratio(source, "") > 10_000
