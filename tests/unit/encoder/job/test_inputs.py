import gzip
import json
from pathlib import Path

import pytest

from labse.encoder.job.inputs import InputTexts
from labse.errors import LabseError, UsageError


def write(path: Path, text: str) -> str:
    path.write_text(text, "utf-8")
    return str(path)


def test_files_of_any_format_follow_each_other_row_for_row(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("ü\n".encode()))
    parquet.write_table(pyarrow.table({"text": ["p", "q\nr"]}), tmp_path / "e.parquet")
    paths = [
        write(tmp_path / "a.txt", "one\n\ntwo\rthree\n"),
        str(tmp_path / "b.txt.gz"),
        write(tmp_path / "c.tsv", "id\ttext\n1\tc\n"),
        write(tmp_path / "d.jsonl", json.dumps({"text": "line\nline"}) + "\n"),
        str(tmp_path / "e.parquet"),
        write(tmp_path / "f", ""),
    ]
    texts = InputTexts(paths)
    expected = ["one", "", "two\rthree", "ü", "c", "line\nline", "p", "q\nr"]
    assert list(texts) == expected
    assert texts.num_rows == [3, 1, 1, 1, 2, 0]
    assert texts.describe()[1] == {"path": paths[1], "first_row": 3, "num_rows": 1}


def test_a_column_is_taken_by_its_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "text\tbody\nno\tyes\n")
    assert list(InputTexts([path], column="body")) == ["yes"]
    with pytest.raises(UsageError, match="--column body: text has no columns"):
        InputTexts([write(tmp_path / "a.txt", "")], column="body")


def test_a_lone_surrogate_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "fine"}\n{"text": "ab\\ud800"}\n')
    with pytest.raises(LabseError, match=r"a\.jsonl, line 2: .*surrogate stands at character 3"):
        list(InputTexts([path]))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.json", "a.pdf"])
def test_what_is_no_lines_of_text_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="files are not read; give lines of text"):
        InputTexts([str(tmp_path / name)])


def test_standard_input_can_be_read_but_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        InputTexts(["-", "-"])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_rows_of_a_large_file_are_guessed_from_its_beginning(
    tmp_path: Path, suffix: str
) -> None:
    text = "".join(f"line number {n * 7919 % 100_003}\n" for n in range(200_000)).encode()
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(gzip.compress(text) if suffix else text)
    guess = InputTexts([str(path)]).estimate_rows()
    assert guess is not None
    assert abs(guess - 200_000) < 10_000


def test_rows_that_cannot_be_guessed_are_not(tmp_path: Path) -> None:
    assert InputTexts(["-"]).estimate_rows() is None
    assert InputTexts([str(tmp_path / "none")]).estimate_rows() is None
    assert InputTexts([write(tmp_path / "a.txt", "")]).estimate_rows() is None
    (tmp_path / "b.gz").write_bytes(b"no archive")
    assert InputTexts([str(tmp_path / "b.gz")]).estimate_rows() is None
    unreadable = "/proc/self/mem"  # To root, a mode of 000 is no obstacle.
    if Path(unreadable).exists():
        assert InputTexts([unreadable]).estimate_rows() is None


@pytest.mark.parametrize("content", [b"x", b"PAR1xxxxxxPAR1", b"PAR1\0\0\0\0\2\0\0\0PAR1"])
def test_a_damaged_parquet_file_is_told_when_it_is_read(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "e.parquet"
    path.write_bytes(content)

    assert InputTexts([str(path)]).estimate_rows() is None
    with pytest.raises(LabseError, match=r"e.parquet"):
        list(InputTexts([str(path)]))


def test_the_rows_of_parquet_are_known(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": ["p"] * 7}), tmp_path / "e.parquet")
    assert InputTexts([str(tmp_path / "e.parquet")]).estimate_rows() == 7
