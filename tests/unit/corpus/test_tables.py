import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from labse.corpus.tables import Table, open_numbered_tsv, open_table, quote_names
from labse.errors import LabseError, UsageError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_parquet(path: Path, columns: dict[str, object]) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


def rows(table: Table, *columns: str) -> list[tuple[int, tuple[str, ...]]]:
    return list(table.read_rows(columns))


# ---- TSV ----


def test_a_tsv_gives_the_columns_in_the_asked_for_order(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "a.tsv", "x\ty\tz\n1\t2\t3\n\t\t\n"))
    assert (table.names, table.unit) == (("x", "y", "z"), "line")
    assert rows(table, "z", "x") == [(2, ("3", "1")), (3, ("", ""))]


def test_quotes_in_a_tsv_are_text(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "a.tsv", 'x\ty\n"a\tb"\n'))
    assert rows(table, "x", "y") == [(2, ('"a', 'b"'))]


def test_a_tsv_without_header_takes_its_names_from_the_caller(tmp_path: Path) -> None:
    table = open_table(write(tmp_path / "a.tsv", "1\t2\t3\n"), ["_", "y", "_"])
    assert rows(table, "y") == [(1, ("2",))]


def test_columns_of_a_tsv_without_header_can_be_numbered(tmp_path: Path) -> None:
    table = open_numbered_tsv(write(tmp_path / "a.tsv", "a\tb\nc\td\n"))
    assert rows(table, "2") == [(1, ("b",)), (2, ("d",))]
    assert rows(open_numbered_tsv(write(tmp_path / "b.tsv", "")), "2") == []


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("x\ty\n1\t2\n3\n", None, r"a\.tsv, line 3: 1 columns, expected 2 \('x', 'y'\)"),
        ("x\ty\n1\t2\t\n", None, r"line 2: 3 columns, expected 2"),
        ("x\ty\n1\t2\n\n", None, r"line 3: 1 columns, expected 2"),
        ("1\t2\n", ["x"], r"line 1: 2 columns, expected 1"),
        ("y\tz\n", None, r"a\.tsv: no column 'x'; its columns are 'y', 'z'"),
        ("x\tx\n", None, r"a\.tsv: 2 columns named 'x'"),
        (b"x\ty\n1\t\xff\n", None, r"a\.tsv, line 2: not valid UTF-8"),
    ],
)
def test_a_broken_tsv_names_file_and_line(
    tmp_path: Path, text: str | bytes, columns: Sequence[str] | None, message: str
) -> None:
    with pytest.raises(LabseError, match=message):
        rows(open_table(write(tmp_path / "a.tsv", text), columns), "x")


# ---- JSONL ----


def test_a_jsonl_gives_the_values_of_the_asked_for_keys(tmp_path: Path) -> None:
    text = '{"x": "a\\u0000\\ud83d\\ude00", "y": 1}\r\n{"z": null, "x": ""}\n'
    table = open_table(write(tmp_path / "a.jsonl", text))
    assert (table.names, table.unit) == (("x", "y"), "line")
    assert rows(table, "x") == [(1, ("a\x00😀",)), (2, ("",))]


@pytest.mark.parametrize("name", ["a.jsonl", "a.tsv"])
def test_an_empty_table_has_no_rows(tmp_path: Path, name: str) -> None:
    table = open_table(write(tmp_path / name, ""))
    assert table.names == ()
    assert rows(table, "x") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", r"not valid JSON: Expecting value \(character 1\)"),
        ('{"x": "a"', r"not valid JSON: .* \(character 10\)"),
        ("{'x': 'a'}", "not valid JSON"),
        ('{"x": "a\tb"}', "not valid JSON: Invalid control character"),
        ("[" * 100_000, "JSON that cannot be read"),
        ('{"x": ' + "1" * 5000 + "}", "JSON that cannot be read"),
        ('["a"]', r"expected a JSON object, found '\[\"a\"\]'"),
        ('"a"', "expected a JSON object"),
        ("{}", r"key 'x' is missing; expected a string"),
        ('{"y": "a"}', r"key 'x' is missing"),
        ('{"x": 1}', r"key 'x' is 1; expected a string"),
        ('{"x": null}', r"key 'x' is null; expected a string"),
        ('{"x": ["a", "b"]}', r"key 'x' is \[\"a\", \"b\"\]; expected"),
    ],
)
def test_a_broken_jsonl_names_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"x": "good"}}\n{line}\n')
    with pytest.raises(LabseError, match=r"a\.jsonl, line 2: " + message):
        rows(open_table(path), "x")


def test_a_first_object_without_keys_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="line 1: an object without keys"):
        open_table(write(tmp_path / "a.jsonl", "{}\n"))


# ---- Parquet ----


@pytest.mark.parametrize(
    "text_type",
    [
        pyarrow.string(),
        pyarrow.large_string(),
        pyarrow.string_view(),
        pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
    ],
    ids=str,
)
def test_every_text_type_of_parquet_is_read(tmp_path: Path, text_type: object) -> None:
    values = ["", "a\u2028b", "\x00", "ünï", ""] * 10_000  # more than one batch
    numbers = list(range(len(values)))
    table = {"n": numbers, "x": pyarrow.array(values, pyarrow.string()).cast(text_type)}
    opened = open_table(write_parquet(tmp_path / "a.parquet", table))
    assert opened.unit == "row"
    expected = [(number, (value,)) for number, value in enumerate(values, start=1)]
    assert rows(opened, "x") == expected


def test_parquet_columns_come_in_the_asked_for_order(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"x": ["1"], "y": ["2"], "z": ["3"]})
    assert rows(open_table(path), "z", "x") == [(1, ("3", "1"))]


def test_an_empty_parquet_has_no_rows(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"x": pyarrow.array([], pyarrow.string())})
    assert rows(open_table(path), "x") == []


@pytest.mark.parametrize("is_dictionary", [False, True])
def test_a_null_names_its_row(tmp_path: Path, is_dictionary: bool) -> None:
    array = pyarrow.array(["a"] * 20_000 + [None, "b"])
    array = array.dictionary_encode() if is_dictionary else array
    table = open_table(write_parquet(tmp_path / "a.parquet", {"x": array}))
    with pytest.raises(LabseError, match=r"a\.parquet, row 20001: column 'x' is null"):
        rows(table, "x")


@pytest.mark.parametrize(
    ("array", "name"),
    [([1, 2], "int64"), ([b"a"], "binary"), ([["a"]], "list<"), ([None], "null")],
)
def test_a_column_of_another_type_is_refused(
    tmp_path: Path, array: list[object], name: str
) -> None:
    table = open_table(write_parquet(tmp_path / "a.parquet", {"x": array}))
    with pytest.raises(LabseError, match=rf"a\.parquet: column 'x' is {name}.*; expected string"):
        rows(table, "x")


def test_a_missing_parquet_column_names_those_there_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"y": ["a"], "z": ["b"]})
    with pytest.raises(LabseError, match=r"no column 'x'; its columns are 'y', 'z'"):
        open_table(path).read_rows(("x",))


@pytest.mark.parametrize(("start", "end"), [(0, 0), (0, 3), (0, 1000), (500, None), (4, -4)])
def test_what_is_not_a_whole_parquet_file_is_an_error(
    tmp_path: Path, start: int, end: int | None
) -> None:
    words = [f"word {number * 7919 % 1009}" for number in range(5000)]
    payload = write_parquet(tmp_path / "whole.parquet", {"x": words}).read_bytes()
    path = write(tmp_path / "a.parquet", payload[start:end])
    with pytest.raises(
        LabseError, match=r"a\.parquet: (not a whole|damaged after).*fetch it again"
    ):
        rows(open_table(path), "x")


def test_a_parquet_column_whose_name_is_no_utf_8_is_an_error(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"x": ["a"], "other": ["b"]})
    path.write_bytes(path.read_bytes().replace(b"other", b"oth\xeer"))
    with pytest.raises(LabseError, match=r"a\.parquet: (not a whole|damaged after).*fetch it"):
        rows(open_table(path), "x")


def test_damage_inside_a_parquet_file_is_an_error(tmp_path: Path) -> None:
    words = [f"word {number * 7919 % 10_007}" for number in range(20_000)]
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"x": words}), path, use_dictionary=False, compression="zstd")
    payload = bytearray(path.read_bytes())
    payload[8:2000] = b"\xff" * 1992
    path.write_bytes(payload)
    with pytest.raises(LabseError, match=r"a\.parquet: damaged after row 0 .*fetch it again"):
        rows(open_table(path), "x")


def test_invalid_utf8_in_parquet_names_the_rows(tmp_path: Path) -> None:
    broken = pyarrow.array([b"good", b"\xff"], pyarrow.binary()).view(pyarrow.string())
    table = open_table(write_parquet(tmp_path / "a.parquet", {"x": broken}))
    with pytest.raises(LabseError, match=r"a\.parquet, rows 1 to 2: column 'x' is not valid UTF-8"):
        rows(table, "x")


def test_a_missing_parquet_file_a_folder_and_a_compressed_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(LabseError, match=r"no\.parquet: no such file"):
        open_table(tmp_path / "no.parquet")
    with pytest.raises(LabseError, match=r"folder\.parquet: a folder, not a file"):
        open_table(tmp_path / "folder.parquet")
    with pytest.raises(LabseError, match=r"a\.parquet\.gz: .*decompress it first"):
        open_table(tmp_path / "a.parquet.gz")


# ---- all formats ----


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a", "a.txt", "a.xz", "a.tsv.xz", "a.docx"])
def test_another_suffix_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot tell the format.*known: .*\.tsv, \.jsonl"):
        open_table(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_names_for_columns_are_only_for_tsv(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="columns is only for a TSV without header"):
        open_table(tmp_path / name, ["x"])


def test_long_lists_of_names_are_shortened() -> None:
    assert quote_names(["a", "b"]) == "'a', 'b'"
    message = quote_names([json.dumps(list(range(100)))] * 12)
    assert message.endswith("...' and 2 more")
    assert len(message) < 500
