import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labse.corpus.records import Document, Sentence, SentencePair, TextRecord

refused = pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two\nlines", "line feed"),
        ("end\n", "line feed"),
        ("a\rb", "carriage return"),
        ("a\ud800b", r"lone surrogate \(U\+D800\)"),
        ("\udfff", r"lone surrogate \(U\+DFFF\)"),
        ("\ud83d\ude00", r"lone surrogate \(U\+D83D\)"),
    ],
)


@refused
def test_a_sentence_is_one_line_of_unicode(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sentence(text, "deu")


@refused
def test_a_text_record_is_one_line_but_a_document_has_many(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextRecord(text, "deu", "page", "file")
    assert Document(text, "deu", "page", "file").text == text


@refused
def test_both_sides_of_a_pair_are_one_line_of_unicode(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentencePair(text, "b", "eng", "deu")
    with pytest.raises(ValueError, match=message):
        SentencePair("a", text, "eng", "deu")


@given(st.text(st.characters(exclude_characters="\n\r", exclude_categories=("Cs",))))
def test_every_other_text_is_kept_as_it_is(text: str) -> None:
    assert Sentence(text, "und").text == text


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "\u2028", "\x85", "\x0c", "😀", "\ufeff", "\uffff"]
)
def test_odd_but_sound_texts_are_kept(text: str) -> None:
    assert SentencePair(text, text, "eng", "deu").target == text


def test_records_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sentence("a", "deu").text = "b"  # type: ignore[misc]
