from pathlib import Path

import pytest

from labse.errors import LabseError, UsageError
from labse.evaluation.bucc_files import find_bucc_pairs, has_bucc_split, read_bucc_split


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The official layout; de-000000003 repeats the text of de-000000001."""
    inner = tmp_path / "bucc2018" / "de-en"
    inner.mkdir(parents=True)
    german = "de-000000001\tHallo\nde-000000002\tJa\u2028doch\nde-000000003\tHallo\n"
    (inner / "de-en.training.de").write_text(german, "utf-8")
    (inner / "de-en.training.en").write_text("en-000000001\tYes\nen-000000002\tHello\n", "utf-8")
    (inner / "de-en.training.gold").write_text("de-000000003\ten-000000002\n", "utf-8")
    return tmp_path / "bucc2018"


def test_a_repeated_sentence_is_one_sentence_whichever_id_gold_names(folder: Path) -> None:
    split = read_bucc_split(folder, "de-en", "training")
    assert split.source == ("Hallo", "Ja\u2028doch")
    assert split.target == ("Yes", "Hello")
    assert split.gold == {(0, 1)}
    assert split.num_lines == (3, 2)


def test_pairs_and_splits_are_found_in_a_folder_and_inside_it(folder: Path) -> None:
    assert find_bucc_pairs(folder) == ["de-en"]
    assert find_bucc_pairs(folder / "de-en") == ["de-en"]
    assert has_bucc_split(folder, "de-en", "training")
    assert not has_bucc_split(folder, "de-en", "test")
    inside = read_bucc_split(folder / "de-en", "de-en", "training")
    assert inside == read_bucc_split(folder, "de-en", "training")


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("gold", "de-000000009\ten-000000002\n", "line 1: no source sentence .* 'de-000000009'"),
        ("gold", "de-000000001\ten-000000009\n", "line 1: no target sentence .* 'en-000000009'"),
        ("gold", "de-000000001\n", "line 1: expected two ids"),
        ("gold", "", "holds no pairs"),
        ("de", "", "no lines"),
        ("de", "de-000000001 Hallo\n", "line 1: expected an id, a tab and a sentence"),
        ("de", "de-000000001\t \n", "line 1: expected an id, a tab and a sentence"),
        ("de", "x\tHallo\nx\tJa\n", "line 2: the id 'x' comes twice"),
    ],
)
def test_a_broken_file_is_told_with_its_line(
    folder: Path, suffix: str, text: str, message: str
) -> None:
    (folder / "de-en" / f"de-en.training.{suffix}").write_text(text, "utf-8")
    with pytest.raises(LabseError, match=message):
        read_bucc_split(folder, "de-en", "training")


def test_missing_files_folders_and_pairs_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"de-en\.test\.de: no such file"):
        read_bucc_split(folder, "de-en", "test")
    with pytest.raises(LabseError, match="no such folder"):
        find_bucc_pairs(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabseError, match=r"holds no fr-en/fr-en\.training\.fr"):
        find_bucc_pairs(tmp_path / "empty")
    with pytest.raises(UsageError, match="give a pair of languages such as fr-en"):
        read_bucc_split(folder, "german", "training")
