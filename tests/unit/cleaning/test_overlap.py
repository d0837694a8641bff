from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.overlap import HeldOutSentences, fold_text, read_held_out_sentences
from labse.errors import LabseError


def test_case_spaces_and_punctuation_do_not_hide_a_test_sentence(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "tatoeba.deu-eng.eng").write_text("I am here.\n\nHow are you?\n", "utf-8")
    (tmp_path / "README").write_text("I am here to explain.\n", "utf-8")
    held_out = read_held_out_sentences(tmp_path)
    assert len(held_out) == 2
    assert "“i am  HERE!”" in held_out
    assert "I am here to explain." not in held_out
    assert "..." not in held_out


def test_a_folder_without_test_sets_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no test sets"):
        read_held_out_sentences(tmp_path)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_a_sentence_overlaps_with_itself_if_it_has_a_letter(text: str) -> None:
    assert (text in HeldOutSentences([text])) == bool(fold_text(text))


def test_an_identifier_before_a_sentence_does_not_hide_it(tmp_path: Path) -> None:
    (tmp_path / "de-en.en").write_text("en-000000001\tI am here.\n", "utf-8")
    assert "I am here." in read_held_out_sentences(tmp_path)


def test_linked_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "set.eng").write_text("I am here.\n", "utf-8")
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert "I am here." in read_held_out_sentences(tmp_path / "eval")
