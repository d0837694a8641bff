import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning import characters
from labse.cleaning.characters import build_block, count_kinds, count_script_letters, kinds_of

TEXTS = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=())), max_size=6)


@settings(deadline=None)
@given(TEXTS)
def test_counts_by_kind_are_those_of_unicodedata(texts: list[str]) -> None:
    counts = count_kinds(build_block(texts))
    groups = ["LM", "N", "Z", "P", "S", "C"]
    for text, row in zip(texts, counts.tolist(), strict=True):
        major = [unicodedata.category(character)[0] for character in text]
        assert row == [sum(m in group for m in major) for group in groups]


def test_kinds_of_a_block_have_one_value_a_character_and_line_end() -> None:
    assert kinds_of(build_block(["a1", ""])).tolist() == [
        characters.LETTER,
        characters.DIGIT,
        characters.OTHER,
        characters.OTHER,
    ]


@pytest.mark.parametrize(
    ("text", "script", "in_script", "in_any"),
    [
        ("Привет, world 12", "Cyrl", 6, 11),
        ("日本語のテキスト", "Jpan", 8, 8),
        ("日本語のテキスト", "Hans", 3, 8),
        ("한국어 漢字", "Kore", 5, 5),
        ("abc где", "Zyyy", 6, 6),  # An unknown script allows all letters.
        ("123 !?", "Latn", 0, 0),
        ("หนังสือ", "Thai", 7, 7),
    ],
)
def test_letters_count_by_the_script_that_a_language_has(
    text: str, script: str, in_script: int, in_any: int
) -> None:
    found = count_script_letters(build_block([text]), [script])
    assert [part.tolist() for part in found] == [[in_script], [in_any]]


def test_scripts_of_letters_are_those_of_the_unicode_standard() -> None:
    standard = pytest.importorskip("fontTools.unicodedata")
    numbers = {number: script for script, number in characters._SCRIPT_IDS.items()}
    table = characters._tables().scripts
    letters = [
        c for c in range(0x20000) if unicodedata.category(chr(c)).startswith(("Lu", "Ll", "Lo"))
    ]
    differing = [
        c for c in letters
        if (script := standard.script(chr(c))) in characters._SCRIPT_IDS
        and script != numbers.get(int(table[c]))
    ]  # fmt: skip
    # Letters of the Kana supplement for old spellings, ordinals, Kelvin and their like.
    assert len(differing) < 310
    assert not any(0x100 <= c < 0x1D00 for c in differing)


def test_an_empty_block_has_no_counts() -> None:
    assert count_kinds(build_block([])).shape == (0, 6)
    assert build_block([]).sum(np.zeros(0, bool)).shape == (0,)
