import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labse.corpus.file_formats import Layout, RowKind, choose_layout
from labse.corpus.raw_text import read_records
from labse.corpus.readers import read_moses, read_pairs
from labse.corpus.records import SentencePair, TextRecord
from labse.corpus.tmx import read_tmx
from labse.corpus.writers import (
    Written,
    check_picture,
    write_moses,
    write_pairs,
    write_records,
    write_rows,
)
from labse.errors import LabseError, ResourceError, UsageError

PAIRS = [
    SentencePair('Hello & <good> "day"\'s', "Привет\u2028мир", "eng", "rus"),
    SentencePair("", "你好。", "eng", "zho"),
]
NAMES = [
    *("a.tsv", "a.tsv.gz", "a.tsv.bz2", "a.tsv.zst", "a.jsonl", "a.jsonl.zst"),
    *("a.tmx", "a.tmx.gz", "a.parquet"),
]
# Any text that a record may hold and no format has to change.
plain_texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=40
)


def read_back(path: Path) -> list[SentencePair]:
    return list(read_tmx(path, drops=Counter()) if ".tmx" in path.name else read_pairs(path))


@pytest.mark.parametrize("name", NAMES)
def test_pairs_read_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    assert write_pairs(tmp_path / name, PAIRS) == Written(2, 0)
    assert read_back(tmp_path / name) == PAIRS


@given(st.lists(st.tuples(plain_texts, plain_texts), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_no_text_changes_and_no_row_shifts(tmp_path: Path, texts: list[tuple[str, str]]) -> None:
    stripped = [(source.strip(" "), target.strip(" ")) for source, target in texts]
    squeezed = [(" ".join(s.split(" ")), " ".join(t.split(" "))) for s, t in stripped]
    pairs = [SentencePair(s, t, "deu", "sah") for s, t in squeezed if "  " not in s + "|" + t]
    for name in ("a.tsv", "a.jsonl.zst", "a.tmx"):
        assert write_pairs(tmp_path / name, pairs) == Written(len(pairs), 0)
        assert read_back(tmp_path / name) == pairs
    write_moses(tmp_path / "a.de", tmp_path / "a.sah", pairs)
    moses = read_moses(tmp_path / "a.de", tmp_path / "a.sah", source_lang="de", target_lang="sah")
    assert list(moses) == pairs


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    for folder in ("x", "y"):
        write_pairs(tmp_path / folder / name, PAIRS)
    assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


def test_what_would_end_a_cell_or_a_row_becomes_a_space_and_is_counted(tmp_path: Path) -> None:
    rows = [("a\tb", "c\r\nd"), ("plain", "text")]
    assert write_rows(tmp_path / "a.tsv", ("x", "y"), rows) == Written(2, 1)
    assert (tmp_path / "a.tsv").read_bytes() == b"x\ty\na b\tc  d\nplain\ttext\n"
    assert write_rows(tmp_path / "a.txt", ("x",), [("a\nb\tc",), ("d",)]) == Written(2, 1)
    assert (tmp_path / "a.txt").read_bytes() == b"a b\tc\nd\n"
    assert write_rows(tmp_path / "a.jsonl", ("x", "y"), rows) == Written(2, 0)
    first = json.loads((tmp_path / "a.jsonl").read_text().split("\n")[0])
    assert first == {"x": "a\tb", "y": "c\r\nd"}


def test_numbers_read_back_equal(tmp_path: Path) -> None:
    rows = [(0.1 + 0.2, 3, "a"), (1e-300, -4, "b")]
    columns = ("margin_score", "n", "text")
    write_rows(tmp_path / "a.tsv", columns, rows)
    cells = [line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines()[1:]]
    assert [(float(x), int(n), t) for x, n, t in cells] == rows
    write_rows(tmp_path / "a.jsonl", columns, rows)
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == rows
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "a.parquet", columns, rows)
    table = parquet.read_table(tmp_path / "a.parquet")
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    assert write_pairs(tmp_path / "a.tsv", []) == Written(0, 0)
    assert (tmp_path / "a.tsv").read_text() == "source\ttarget\tsource_lang\ttarget_lang\n"
    pytest.importorskip("pyarrow")
    write_pairs(tmp_path / "a.parquet", [])
    assert list(read_pairs(tmp_path / "a.parquet")) == []


def test_records_read_back_with_document_and_origin(tmp_path: Path) -> None:
    records = [TextRecord("Hi", "eng", "https://a.b", "x.wet"), TextRecord("", "und", "", "y")]
    for name in ("a.tsv", "a.jsonl"):
        write_records(tmp_path / name, records)
        assert list(read_records(tmp_path / name)) == records
    write_records(tmp_path / "a.txt", records)
    assert (tmp_path / "a.txt").read_text() == "Hi\n\n"


@pytest.mark.parametrize("layout", ["tsv", "jsonl", "tmx"])
def test_standard_output_takes_every_format_but_parquet(
    layout: str, capsysbinary: object, tmp_path: Path
) -> None:
    write_pairs("-", PAIRS, layout=layout)  # type: ignore[arg-type]
    out = capsysbinary.readouterr().out  # type: ignore[attr-defined]
    write_pairs(tmp_path / f"a.{layout}", PAIRS)
    assert out == (tmp_path / f"a.{layout}").read_bytes()
    with pytest.raises(UsageError, match=r"goes to a file whose name ends in \.parquet"):
        write_pairs("-", PAIRS, layout="parquet")


@pytest.mark.parametrize(
    ("name", "kind", "layout"),
    [
        ("a.tsv.gz", "pairs", "tsv"),
        ("-", "pairs", "tsv"),
        ("a.txt", "found", "tsv"),  # For people: a header and rows.
        ("a", "beads", "tsv"),
        ("a.ladder", "beads", "ladder"),
        ("-", "records", "jsonl"),
        ("a", "records", "txt"),
        ("a.parquet", "scores", "parquet"),
    ],
)
def test_one_table_says_which_rows_go_to_which_format(
    name: str, kind: RowKind, layout: Layout
) -> None:
    assert choose_layout(name, kind) == layout


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("a.csv", "found"), ("a.parquet.gz", "rows"), ("a.xlsx", "beads"), ("a.txt", "pairs")),
        *(("a.tmx", "records"), ("a.tmx", "negatives"), ("-", "negatives")),
    ],
)
def test_an_unknown_suffix_is_a_usage_error(name: str, kind: RowKind) -> None:
    with pytest.raises(UsageError, match=name):
        choose_layout(name, kind)


def test_text_of_several_columns_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="text has one column, not 2"):
        write_rows(tmp_path / "a.txt", ("x", "y"), [("a", "b")])


def test_a_picture_is_a_png_and_needs_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_picture(None)
    with pytest.raises(UsageError, match=r"a\.pdf: pictures are PNG"):
        check_picture(tmp_path / "a.pdf")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(ResourceError, match=r"pip install \"labse\[plot\]\""):
        check_picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.tsv", "a.jsonl", "a.tmx", "a.parquet"])
def test_a_lone_surrogate_names_the_row_and_leaves_no_file(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    rows = [("a", "b", "eng", "deu"), ("a\ud800", "b", "eng", "deu")]
    columns = ("source", "target", "source_lang", "target_lang")
    with pytest.raises(LabseError, match=r"rows? .*2.*lone surrogate"):
        write_rows(tmp_path / name, columns, rows)
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_is_not_finite_names_the_row(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="row 2: nan is not a finite number"):
        write_rows(tmp_path / "a.tsv", ("x",), [(1.0,), (float("nan"),)])


def test_rows_of_another_shape_are_value_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="row 2 has 1 values for 2 columns"):
        write_rows(tmp_path / "a.tsv", ("x", "y"), [("a", "b"), ("c",)])
    with pytest.raises(ValueError, match="row 2 holds"):
        write_rows(tmp_path / "a.tsv", ("x", "y"), [("a", 1), ("c", "d")])
    with pytest.raises(ValueError, match="give str, int, float or tuple"):
        write_rows(tmp_path / "a.tsv", ("x",), [(b"a",)])  # type: ignore[list-item]


def test_moses_files_are_two_and_hold_a_line_a_pair(tmp_path: Path) -> None:
    pairs = [*PAIRS, SentencePair("tab\there", "x", "eng", "deu")]
    assert write_moses(tmp_path / "a.en.gz", tmp_path / "a.xx", pairs) == Written(3, 0)
    assert (tmp_path / "a.xx").read_bytes().count(b"\n") == 3
    with pytest.raises(UsageError, match="both sides would go to one file"):
        write_moses(tmp_path / "a", tmp_path / "." / "a", pairs)
    with pytest.raises(UsageError, match="neither can be standard output"):
        write_moses("-", tmp_path / "a", pairs)


def test_a_broken_source_of_rows_leaves_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    write_pairs(path, PAIRS)
    before = path.read_bytes()
    with pytest.raises(LabseError, match="broken"):
        write_pairs(path, _break_after_one())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.tsv.gz"]


def _break_after_one() -> Iterator[SentencePair]:
    yield PAIRS[0]
    raise LabseError("broken")
