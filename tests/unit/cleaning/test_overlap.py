from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.overlap import (
    HeldOutSentences,
    drop_test_sentences,
    fold_text,
    read_held_out_sentences,
)
from labse.errors import LabseError, UsageError


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


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "set.eng").write_text("I am here.\n", "utf-8")
    return tmp_path / "eval"


def test_pairs_with_a_test_sentence_on_a_side_are_dropped_and_counted(
    tmp_path: Path, tests: Path
) -> None:
    rows = ["eng\tdeu\tI am here!\tIch bin da.", "eng\tdeu\tYou are here.\tDu bist da."]
    rows += ["deu\teng\tHier bin ich.\ti am HERE"]
    table = tmp_path / "pairs.tsv"
    header = "source_lang\ttarget_lang\tsource\ttarget\n"
    table.write_text(header + "".join(f"{row}\n" for row in rows), "utf-8")
    report = drop_test_sentences([table], tests, tmp_path / "kept.tsv", kind="pairs")
    assert (tmp_path / "kept.tsv").read_text("utf-8") == f"{header}{rows[1]}\n"
    assert (report.num_test_sentences, report.num_rows) == (1, 3)
    assert report.dropped == {str(table): 2}
    assert drop_test_sentences([table], tests, kind="pairs") == report


def test_text_stays_text(tmp_path: Path, tests: Path) -> None:
    (tmp_path / "a.txt").write_text("I am here.\nOnly here.\n", "utf-8")
    drop_test_sentences([tmp_path / "a.txt"], tests, tmp_path / "kept.txt", lang="eng")
    assert (tmp_path / "kept.txt").read_text("utf-8") == "Only here.\n"
    with pytest.raises(UsageError, match="would replace"):
        drop_test_sentences([tmp_path / "a.txt"], tests, tmp_path / "a.txt", lang="eng")


def test_test_sentences_are_read_from_parquet_too(tmp_path: Path) -> None:
    rows = {"lang": ["deu"], "english": ["Good morning."], "text": ["Guten Morgen."]}
    pq.write_table(pa.table(rows), tmp_path / "dev.parquet")
    held_out = read_held_out_sentences(tmp_path)
    assert "good morning" in held_out
    assert "Guten Morgen!" in held_out
    assert "deu" not in held_out
