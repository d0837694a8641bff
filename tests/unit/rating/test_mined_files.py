from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.rating.mined_files import MinedRow, read_gold_pairs, read_mined


def test_rows_are_read_with_their_numbers_and_more_columns_ignored(tmp_path: Path) -> None:
    path = tmp_path / "mined.tsv"
    path.write_text("1.25\ta\tb\n-0.5\tc\td\t7\t8\n")
    assert list(read_mined(path)) == [MinedRow(1, 1.25, "a", "b"), MinedRow(2, -0.5, "c", "d")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1.0\ta\n", "line 1: 2 columns"),
        ("1.0\ta\tb\nnan\ta\tb\n", "line 2: the score is 'nan'"),
        ("inf\ta\tb\n", "line 1: the score is 'inf'"),
        ("high\ta\tb\n", "the score is 'high'"),
    ],
)
def test_a_broken_row_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mined.tsv"
    path.write_text(text)
    with pytest.raises(LabseError, match=message):
        list(read_mined(path))


def test_gold_pairs_are_a_set(tmp_path: Path) -> None:
    path = tmp_path / "gold.tsv"
    path.write_text("a\tb\na\tb\nc\td\tmore\n")
    assert read_gold_pairs(path) == {("a", "b"), ("c", "d")}
    path.write_text("a\n")
    with pytest.raises(LabseError, match="line 1: 1 column"):
        read_gold_pairs(path)
    path.write_text("")
    with pytest.raises(LabseError, match="empty"):
        read_gold_pairs(path)
