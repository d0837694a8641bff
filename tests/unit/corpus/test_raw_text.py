import json
from collections import Counter
from pathlib import Path

import pytest

from labse.corpus.file_formats import file_lang
from labse.corpus.raw_text import iter_lines, read_raw, read_records
from labse.corpus.records import Document, TextRecord
from labse.errors import LabseError, UsageError


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8", newline="")
    return path


def test_each_line_of_a_document_with_text_is_a_record() -> None:
    text = "one\r\n\n  two\u2028still two \rthree\n\t\nfour"
    records = list(iter_lines([Document(text, "eng", "a", "x"), Document("", "eng", "b", "x")]))
    assert [record.text for record in records] == ["one", "two\u2028still two", "three", "four"]
    assert {(r.lang, r.document, r.origin) for r in records} == {("eng", "a", "x")}


def test_lines_of_text_are_records_of_their_file(tmp_path: Path) -> None:
    path = write(tmp_path / "news.txt", "eins\n\nzwei\n")
    records = list(read_records(path, lang="de"))
    assert records == [TextRecord(text, "deu", "", "news.txt") for text in ("eins", "", "zwei")]
    assert {record.lang for record in read_records(path)} == {"und"}
    for name, lang in (("news.de.gz", "deu"), ("news.src", "und"), ("news.de.txt", "und")):
        assert file_lang(tmp_path / name) == (None if lang == "und" else lang)
    named = write(tmp_path / "news.de", "eins\n")
    assert [record.lang for record in read_records(named)] == ["deu"]
    assert [record.lang for record in read_records(named, lang="nl")] == ["nld"]


def test_columns_that_are_there_are_read(tmp_path: Path) -> None:
    tsv = write(tmp_path / "a.tsv", "n\ttext\tdocument\n1\teins\tD\n")
    assert list(read_records(tsv, lang="de")) == [TextRecord("eins", "deu", "D", "a.tsv")]
    row = {"text": "eins", "lang": "German", "document": "D", "origin": "O"}
    jsonl = write(tmp_path / "a.jsonl", json.dumps(row))
    assert list(read_records(jsonl)) == [TextRecord("eins", "deu", "D", "O")]
    with pytest.raises(UsageError, match="has a column lang"):
        list(read_records(jsonl, lang="de"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "text\tlang\na\ten\nb\txx\n", "line 3: unknown language 'xx'"),
        ("a.jsonl", '{"text": "a"}\n{"text": "\\ud800"}', "line 2: a lone surrogate"),
        ("a.tsv", "txt\na\n", "no column 'text'"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(LabseError, match=message):
        list(read_records(write(tmp_path / name, text)))


def test_the_suffix_or_the_caller_says_what_a_file_is(tmp_path: Path) -> None:
    pytest.importorskip("mwparserfromhell")
    text = (
        '<mediawiki xml:lang="de"><page><title>A</title><ns>0</ns><text>Ein Satz.\n\nNoch einer.'
        "</text></page><page><title>B</title><ns>1</ns><text>x</text></page></mediawiki>"
    )
    expected = ["Ein Satz.", "Noch einer."]
    drops: Counter[str] = Counter()
    for name in ("a.xml", "dewiki.xml-p1p10", "a.txt"):
        path = write(tmp_path / name, text)
        raw_format = "wikipedia" if name == "a.txt" else "auto"
        records = list(read_raw(path, raw_format=raw_format, drops=drops))  # type: ignore[arg-type]
        assert [record.text for record in records] == expected
        assert {(r.lang, r.document, r.origin) for r in records} == {("deu", "A", name)}
    assert drops == {"namespace other than articles": 3}
    assert [r.text for r in read_raw(write(tmp_path / "b.txt", "x\n"), drops=drops)] == ["x"]
