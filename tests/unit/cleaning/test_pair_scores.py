import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.numbers import number_mismatch
from labse.cleaning.pair_scores import (
    flag_pair,
    length_ratio,
    name_mismatch,
    overlap,
    score_pair_texts,
    weighted_length,
)

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


def test_a_chinese_translation_is_not_too_short() -> None:
    english = "The library opens at nine o'clock in the morning."
    assert length_ratio(english, "图书馆早上九点开门。") == pytest.approx(1.40, abs=0.005)


@pytest.mark.parametrize(
    ("source", "target", "share"),
    [
        ("Save the file", "Save the FILE!", 1),
        ("Save the file", "Datei speichern", 0),
        ("red house", "red tree", 3 / 8),
        ("12 %", "12 %", 0),  # Without letters there is nothing to translate.
        ("a a a", "a", 1 / 3),
        ("a = iand(a, b)", "a は iand(a, b) です", 7 / 10),
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
        ("1,234.50 euros", "1.234,50 Euro", 0),
        ("3,527 km", "3،527 كم", 0),
        ("12/31/2009", "31.12.2009", 0),
        ("call 5", "اتصل ٥", 0),
        ("१२३ लोग", "123 people", 0),
        ("007", "7", 0),
        ("$200.00 a month", "200$ im Monat", 0),
        ("till 2:30", "bis 14.30 Uhr", 1),
        ("page 7", "Seite sieben", 0),  # It may be spelled out.
        ("150 psalms", "a hundred and fifty psalms", 0),
        ("2 times 2", "2 times two", 0),
        ("2 of 250", "2 of many", 0.5),  # Nobody spells 250 out beside a 2.
        ("in 1984", "in 1948", 1),
        ("chapter 3", "Kapitel 4", 1),
        ("3 of 10", "3 von 12", 0.5),
    ],
)
def test_numbers_disagree_only_where_both_sides_have_some(
    source: str, target: str, mismatch: float
) -> None:
    assert number_mismatch(source, target) == pytest.approx(mismatch)
    assert number_mismatch(target, source) == pytest.approx(mismatch)


@pytest.mark.parametrize(
    ("source", "target", "mismatch"),
    [
        ("she lives in Paris", "elle habite à Paris", 0),
        ("she lives in Paris", "elle habite à Londres", 1),
        ("she lives in Moscow", "она живёт в Париже", 0),  # Another script tells nothing.
        ("she lives in Paris", "elle habite ici", 0),  # One side alone may leave a name out.
        ("we saw Zoë there", "nous avons vu Zoe", 0),
        ("Berlin is big", "Paris est grand", 0),  # A first word may be no name.
        # German nouns have capitals; so have the words of an interface.
        ("the dog of Anna sleeps", "der Hund von Berta schläft im Garten", 0),
        ("to print choose File and then Print", "choisissez Fichier puis Imprimer ici", 0),
    ],
)
def test_names_disagree_only_if_both_sides_name_another(
    source: str, target: str, mismatch: float
) -> None:
    assert name_mismatch(source, target) == mismatch


@settings(deadline=None)
@given(ANY_TEXT, ANY_TEXT)
def test_scores_take_any_text_and_do_not_mind_the_sides(source: str, target: str) -> None:
    (scores, swapped) = score_pair_texts([source], [target]), score_pair_texts([target], [source])
    for name in scores:
        assert scores[name].tolist() == pytest.approx(swapped[name].tolist())
    assert all(0 <= scores[name][0] <= 1 for name in scores.keys() - {"length_ratio"})
    assert number_mismatch(source, source) == name_mismatch(source, source) == 0


@settings(deadline=None)
@given(st.text("ab c1", max_size=30), st.text("ab c1", max_size=30))
def test_overlap_is_that_of_counters_of_words(source: str, target: str) -> None:
    words = [Counter(re.findall("[a-z]+", text)) for text in (source, target)]
    letters = [len("".join(count.elements())) for count in words]
    expected = len("".join((words[0] & words[1]).elements())) / max(*letters, 1)
    assert overlap(source, target) == pytest.approx(expected)


def test_lines_of_a_million_characters_are_scored_in_linear_time() -> None:
    source = " ".join(f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}x" * 2 for n in range(140_000))
    assert overlap(source, source) == 1
    assert number_mismatch("1 " * 100_000, "2 " * 100_000) == 1
    assert length_ratio(source, "") > 10_000
    assert name_mismatch(source + " Paris", source + " London") == 1


def test_all_flags_of_a_pair_are_told() -> None:
    faithful = "On 3 May 2021, 1,250 people went to Paris with Anna."
    assert flag_pair("Am 3. Mai 2021 fuhren 1.250 Leute mit Anna nach Paris.", faithful) == ()
    odd = flag_pair("we met at Paris on day 40", "nous avons vu Londres le 50")
    assert odd == ("number", "name")
    assert flag_pair("Nothing was translated here", "nothing was translated here") == ("copy",)
