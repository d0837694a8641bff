import pytest

from labse.cleaning.flags import copy_ratio, flag_pair, has_other_names, has_other_numbers


def test_a_faithful_translation_has_no_flag() -> None:
    source = "Am 3. Mai 2021 fuhren 1.250 Leute mit Anna nach Paris."
    assert flag_pair(source, "On 3 May 2021, 1,250 people went to Paris with Anna.") == ()


@pytest.mark.parametrize(
    ("source", "target", "ratio"),
    [
        ("Hello, World!", "hello world", 1.0),
        ("one two three four", "one two three five", 0.75),
        ("Das ist gut", "That is good", 0.0),
        ("12.5 %", "12.5 %", 0.0),  # Without letters there is nothing to translate.
        ("", "", 0.0),
        ("a b", "", 0.0),
    ],
)
def test_the_copy_ratio_is_the_share_of_shared_words(
    source: str, target: str, ratio: float
) -> None:
    assert copy_ratio(source, target) == copy_ratio(target, source) == ratio


@pytest.mark.parametrize(
    ("source", "target", "is_other"),
    [
        ("1,234.50 euros", "1.234,50 Euro", False),
        ("1 234 Leute", "1234 people", False),
        ("१२३ लोग", "123 people", False),
        ("in 1984", "in 1985", True),
        ("3 dogs", "three dogs", False),
        ("3 dogs", "4 dogs", True),
        ("page 250", "page", True),
        ("2 times 2", "2 times two", False),
        ("no number", "none", False),
        ("007", "7", False),
    ],
)
def test_numbers_are_compared_whatever_their_spelling(
    source: str, target: str, is_other: bool
) -> None:
    assert has_other_numbers(source, target) is is_other
    assert has_other_numbers(target, source) is is_other


@pytest.mark.parametrize(
    ("source", "target", "is_other"),
    [
        ("she lives in Paris", "elle habite à Paris", False),
        ("she lives in Paris", "elle habite à Londres", True),
        ("she lives in Moscow", "она живёт в Париже", False),  # Another script tells nothing.
        ("she lives in Paris", "elle habite ici", False),  # One side alone may leave a name out.
        ("we saw Zoë there", "nous avons vu Zoe", False),
        ("Berlin is big", "Paris est grand", False),  # A first word may be no name.
        # German nouns have capitals; so have the words of an interface.
        ("the dog of Anna sleeps", "der Hund von Berta schläft im Garten", False),
        ("to print choose File and then Print", "choisissez Fichier puis Imprimer ici", False),
    ],
)
def test_names_disagree_only_if_both_sides_name_another(
    source: str, target: str, is_other: bool
) -> None:
    assert has_other_names(source, target) is is_other


def test_a_text_of_a_million_characters_is_looked_at_from_its_start() -> None:
    text = "word " * 200_000
    assert flag_pair(text, text + "2021") == ("copy",)


def test_all_flags_of_a_pair_are_told() -> None:
    assert flag_pair("we met at Paris on day 40", "nous avons vu Londres le 50") == (
        "number",
        "name",
    )
    assert flag_pair("Nothing was translated here", "nothing was translated here") == ("copy",)
