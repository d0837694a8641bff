import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labse.cleaning.normalize import normalize_text

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # Lone surrogates too.


@pytest.mark.parametrize(
    ("text", "clean", "num_controls"),
    [
        ("plain text", "plain text", 0),
        ("  two  spaces ", "two spaces", 0),
        ("a\u00a0b\u2028c\td\u3000e", "a b c d e", 0),
        ("nul\x00 and\x07 bell\x9f", "nul and bell", 3),
        ("lone \ud800 half", "lone half", 1),
        ("e\u0301te\u0301", "été", 0),
        ("soft\u00adhyphen \ufeffmark \u200fdir", "softhyphen mark dir", 0),
        ("می\u200cخواهم", "می\u200cخواهم", 0),  # A joiner spells the word.
        ("ភាសា\u200bខ្មែរ", "ភាសា\u200bខ្មែរ", 0),
        ("no\u200bbreak", "nobreak", 0),
        ("", "", 0),
    ],
)
def test_text_is_nfc_with_single_spaces_and_no_controls(
    text: str, clean: str, num_controls: int
) -> None:
    result = normalize_text(text)
    assert (result.text, result.num_controls) == (clean, num_controls)


@settings(deadline=None)
@given(ANY_TEXT)
@example("\u0344\u200b \u200b\u0e01")
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalize_text(text).text
    assert normalize_text(once).text == once


@settings(deadline=None)
@given(ANY_TEXT)
def test_the_result_is_one_line_of_nfc_that_utf8_can_write(text: str) -> None:
    clean = normalize_text(text).text
    assert unicodedata.is_normalized("NFC", clean)
    assert clean.split() == ([] if not clean else clean.split(" "))
    clean.encode()
