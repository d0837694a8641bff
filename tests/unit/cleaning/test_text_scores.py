from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning import text_scores
from labse.cleaning.characters import build_block
from labse.cleaning.text_scores import repetition_shares, score_texts

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)


def test_scores_are_shares_of_visible_characters() -> None:
    scored = score_texts(["ab 1!\x00"], ["eng"], identify=False)
    assert scored.texts == ["ab 1!"]
    values = {name: values[0].item() for name, values in scored.scores.items()}
    assert values["characters"] == 5
    assert values["letter_share"] == pytest.approx(2 / 4)
    assert values["digit_share"] == values["symbol_share"] == pytest.approx(1 / 4)
    assert values["control_share"] == pytest.approx(1 / 6)
    assert values["script_share"] == 1
    assert np.isnan(values["language_match"])


@pytest.mark.parametrize(
    ("text", "is_broken"),
    [
        ("Airde le haighaidh an bosca tÃ©acs", True),
        ("He said â€œhelloâ€\u009d to me", True),
        ("log\ufffdon da oleo", True),
        ("NÃO É ÂNGULO", False),
        ("Ñandú, Ð and Â", False),
    ],
)
def test_utf8_that_was_read_as_something_else_is_broken(text: str, is_broken: bool) -> None:
    scored = score_texts(["fine", text, "fine"], ["eng"] * 3, identify=False)
    assert (scored.scores["broken_share"] > 0).tolist() == [False, is_broken, False]


@given(st.lists(ANY_TEXT, max_size=8))
@settings(deadline=None)
def test_every_text_has_finite_scores_but_where_they_are_unknown(texts: list[str]) -> None:
    scored = score_texts(texts, ["eng"] * len(texts), identify=False)
    for name, values in scored.scores.items():
        assert values.shape == (len(texts),)
        if name not in ("script_share", "language_match"):
            assert np.isfinite(values).all()
        if name.endswith("_share"):
            known = values[~np.isnan(values)]
            assert ((known >= 0) & (known <= 1 + 1e-6)).all(), name


def test_scores_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["© 2020 <b>x</b>", "", "aaaa bbbb aaaa bbbb", "Текст", "tÃ©"] * 3
    whole = score_texts(texts, ["eng"] * 15, identify=False).scores
    monkeypatch.setattr(text_scores, "_BLOCK_CHARS", 10)
    parts = score_texts(texts, ["eng"] * 15, identify=False).scores
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name], err_msg=name)


def test_a_language_matches_differs_or_cannot_be_told() -> None:
    pytest.importorskip("pycld2")
    german = "Die Kinder spielten gestern im Garten hinter dem alten Haus."
    texts = [german, german, german, "OK", german]
    langs = ["deu", "eng", "mai", "eng", "und"]
    scored = score_texts(texts, langs)
    assert scored.scores["language_match"].tolist() == [1, 0, 0.5, 0.5, 0.5]
    assert scored.identified_langs == ["deu", "deu", "deu", "und", "deu"]


def test_a_line_of_a_million_characters_is_scored() -> None:
    scored = score_texts(["wort " * 200_000, "x"], ["deu", "deu"], identify=False)
    assert scored.scores["characters"].tolist() == [999_999, 1]
    assert scored.scores["repetition_share"][0] > 0.99


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
