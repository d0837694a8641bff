import gzip
import io
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from labse.corpus.readers import read_moses, read_pairs, read_sentences
from labse.corpus.records import Sentence, SentencePair
from labse.errors import LabseError, UsageError

HELLO = SentencePair("Hello.", "Hallo.", "eng", "deu")
HOUSE = SentencePair("house", "дом", "eng", "rus")


def write(path: Path, text: str | bytes) -> Path:
    payload = text if isinstance(text, bytes) else text.encode()
    if path.suffix == ".gz":
        payload = gzip.compress(payload)
    elif path.suffix == ".zst":
        payload = zstandard.compress(payload)
    path.write_bytes(payload)
    return path


def write_parquet(path: Path, columns: dict[str, object]) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(columns), path)
    return path


def texts(sentences: Iterator[Sentence]) -> list[str]:
    return [sentence.text for sentence in sentences]


# ---- sentences ----


@pytest.mark.parametrize("name", ["a", "a.txt", "a.de", "a.deu", "a.gz", "a.txt.zst", "a.zh-TW.gz"])
def test_each_line_of_text_is_a_sentence(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, "\ufeffone\r\n\n\nthe end")
    expected = [Sentence(text, "deu") for text in ("one", "", "", "the end")]
    assert list(read_sentences(path, lang="German")) == expected


def test_an_empty_file_has_no_sentences(tmp_path: Path) -> None:
    for name in ("a.txt", "a.jsonl", "a.txt.gz"):
        assert texts(read_sentences(write(tmp_path / name, ""), lang="de")) == []
    assert texts(read_sentences(write(tmp_path / "a.tsv", ""), lang="de", column=1)) == []


def test_odd_characters_do_not_shift_the_rows(tmp_path: Path) -> None:
    lines = ["a\u2028b", "nul\x00", "\x85", "x" * 1_000_000, "\x0c\x1c", "last"]
    path = write(tmp_path / "a.txt", "\n".join(lines))
    assert texts(read_sentences(path, lang="und")) == lines


def test_sentences_come_from_a_column_of_a_table(tmp_path: Path) -> None:
    tsv = write(tmp_path / "a.tsv.gz", "text\tother\neins\t1\n\t2\n")
    jsonl = write(tmp_path / "a.jsonl", '{"text": "eins", "other": "1"}\n{"text": ""}\n')
    pq = write_parquet(tmp_path / "a.parquet", {"text": ["eins", ""], "other": ["1", "2"]})
    for path in (tsv, jsonl, pq):
        assert texts(read_sentences(path, lang="de")) == ["eins", ""]
    assert texts(read_sentences(tsv, lang="de", column="other")) == ["1", "2"]
    assert texts(read_sentences(tsv, lang="de", column=2)) == ["other", "1", "2"]


def test_standard_input_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n\ntwo")))
    assert texts(read_sentences("-", lang="eng")) == ["one", "", "two"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "good\nol\rd\n", r"a\.txt, line 2: a line feed or carriage return inside a text"),
        ("a.txt", b"good\n\xff\n", r"a\.txt, line 2: not valid UTF-8"),
        ("a.tsv", "text\tb\na\rb\t1\n", r"a\.tsv, line 2: .*carriage return"),
        ("a.tsv", "text\tb\na\n", r"a\.tsv, line 2: 1 columns, expected 2"),
        ("a.tsv", "a\tb\n", r"a\.tsv: no column 'text'; its columns are 'a', 'b'"),
        ("a.jsonl", '{"text": "a\\nb"}', r"a\.jsonl, line 1: a line feed"),
        ("a.jsonl", '{"text": "a"}\n{"text": "\\ud800"}', r"line 2: a lone surrogate \(U\+D800\)"),
        ("a.jsonl", '{"txt": "a"}', r"no column 'text'; its columns are 'txt'"),
    ],
)
def test_a_broken_line_names_file_and_line(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(LabseError, match=message):
        list(read_sentences(path, lang="de"))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match=r"a\.txt\.gz: no such file"):
        list(read_sentences(tmp_path / "a.txt.gz", lang="de"))
    with pytest.raises(LabseError, match="Is a directory"):
        list(read_sentences(tmp_path, lang="de"))


def test_a_line_feed_inside_a_parquet_value_names_its_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"text": ["a"] * 20_000 + ["b\n"]})
    with pytest.raises(LabseError, match=r"a\.parquet, row 20001: a line feed"):
        list(read_sentences(path, lang="de"))


@pytest.mark.parametrize(
    ("name", "lang", "column", "message"),
    [
        ("a.txt", "de", "text", r"a\.txt: a text file has no columns; leave out column 'text'"),
        ("a.txt", "de", 1, "a text file has no columns"),
        ("a.jsonl", "de", 1, "only a TSV has numbered columns"),
        ("a.parquet", "de", 2, "only a TSV has numbered columns"),
        ("a.csv", "de", None, r"a\.csv: cannot tell the format from '\.csv'"),
        ("a.txt", "Germn", None, "did you mean 'deu'"),
    ],
)
def test_an_option_that_cannot_apply_is_a_usage_error(
    tmp_path: Path, name: str, lang: str, column: str | int | None, message: str
) -> None:
    path = write(tmp_path / name, "")
    with pytest.raises(UsageError, match=message):
        list(read_sentences(path, lang=lang, column=column))


def test_columns_are_counted_from_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\n")
    with pytest.raises(ValueError, match="the first column is 1"):
        list(read_sentences(path, lang="de", column=0))
    with pytest.raises(LabseError, match="no column '3'; its columns are '1', '2'"):
        list(read_sentences(path, lang="de", column=3))


# ---- pairs ----


def test_pairs_of_the_general_layout(tmp_path: Path) -> None:
    names = ("source", "target", "source_lang", "target_lang")
    cells = [("Hello.", "Hallo.", "en", "ger"), ("house", "дом", "eng", "ru")]
    tsv = "\n".join("\t".join(row) for row in (names, *cells))
    headless = "\n".join("\t".join(row) for row in cells)
    jsonl = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in cells)
    columns = dict(zip(names, map(list, zip(*cells, strict=True)), strict=True))
    paths = [
        write(tmp_path / "a.tsv", tsv),
        write(tmp_path / "a.tsv.zst", tsv),
        write(tmp_path / "a.jsonl.gz", jsonl),
        write_parquet(tmp_path / "a.parquet", columns),
    ]
    for path in paths:
        assert list(read_pairs(path)) == [HELLO, HOUSE]
    assert list(read_pairs(write(tmp_path / "b.tsv", headless), columns=names)) == [HELLO, HOUSE]


def test_pairs_of_the_layout_with_english(tmp_path: Path) -> None:
    tsv = write(tmp_path / "a.tsv", "lang\tenglish\ttext\nde\tHello.\tHallo.\nru\thouse\tдом\n")
    pq = write_parquet(
        tmp_path / "a.parquet",
        {"lang": ["deu", "rus"], "english": ["Hello.", "house"], "text": ["Hallo.", "дом"]},
    )
    assert list(read_pairs(tsv)) == list(read_pairs(pq)) == [HELLO, HOUSE]


def test_a_language_comes_from_a_column_or_from_the_caller(tmp_path: Path) -> None:
    both = write(tmp_path / "a.tsv", "target\tsource\nHallo.\tHello.\n")
    assert list(read_pairs(both, source_lang="en", target_lang="de")) == [HELLO]
    source = write(tmp_path / "b.tsv", "source_lang\ttarget\tsource\nen\tHallo.\tHello.\n")
    assert list(read_pairs(source, target_lang="de")) == [HELLO]
    target = write(tmp_path / "c.tsv", "target_lang\ttarget\tsource\nde\tHallo.\tHello.\n")
    assert list(read_pairs(target, source_lang="en")) == [HELLO]


def test_empty_texts_are_pairs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "source\ttarget\n\t\na\t\n")
    pairs = list(read_pairs(path, source_lang="en", target_lang="de"))
    assert [(pair.source, pair.target) for pair in pairs] == [("", ""), ("a", "")]


def test_an_empty_table_has_no_pairs(tmp_path: Path) -> None:
    assert list(read_pairs(write(tmp_path / "a.jsonl", ""))) == []
    assert list(read_pairs(write(tmp_path / "c.tsv", ""))) == []
    assert list(read_pairs(write(tmp_path / "a.tsv", "lang\tenglish\ttext\n"))) == []
    assert (
        list(read_pairs(write(tmp_path / "b.tsv", ""), columns=["lang", "english", "text"])) == []
    )


def test_pairs_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "lang\tenglish\ttext\nde\tHello.\tHallo.\nbroken\n")
    pairs = read_pairs(path)
    assert next(pairs) == HELLO
    with pytest.raises(LabseError, match="line 3"):
        next(pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lang\tenglish\ttext\nde\ta\tb\nxx\ta\tb\n", r"a\.tsv, line 3: unknown language 'xx'"),
        ("lang\tenglish\ttext\n\ta\tb\n", r"a\.tsv, line 2: unknown language ''"),
        ("lang\tenglish\ttext\nde\ta\tb\rc\n", r"a\.tsv, line 2: a line feed or carriage return"),
        ("lang\tenglish\ttext\nde\ta\n", r"a\.tsv, line 2: 2 columns, expected 3"),
        (
            "Hello.\tHallo.\n",
            r"a\.tsv: expected the columns .*found 'Hello\.', 'Hallo\.'; the first line",
        ),
        ("lang\tlang\tenglish\ttext\n", r"a\.tsv: 2 columns named 'lang'"),
    ],
)
def test_broken_pairs_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabseError, match=message):
        list(read_pairs(write(tmp_path / "a.tsv", text)))


@pytest.mark.parametrize(
    ("header", "source_lang", "target_lang", "message"),
    [
        ("source\ttarget", "en", None, r"a\.tsv has no column target_lang; add one"),
        ("source\ttarget", None, "de", r"a\.tsv has no column source_lang; add one"),
        ("source\ttarget", "en", "Germn", "unknown language 'Germn'"),
        ("source\ttarget\ttarget_lang", "en", "de", "has a column target_lang; leave out"),
        ("lang\tenglish\ttext", None, "de", "target_lang cannot apply"),
        ("lang\tenglish\ttext", "en", None, "source_lang cannot apply"),
    ],
)
def test_a_language_is_given_exactly_once(
    tmp_path: Path, header: str, source_lang: str | None, target_lang: str | None, message: str
) -> None:
    path = write(tmp_path / "a.tsv", header + "\n")
    with pytest.raises(UsageError, match=message):
        list(read_pairs(path, source_lang=source_lang, target_lang=target_lang))


def test_text_is_no_table_of_pairs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.de: cannot tell the format from '\.de'"):
        list(read_pairs(write(tmp_path / "a.de", "a\n")))


# ---- aligned files ----


@pytest.mark.parametrize(("source", "target"), [*itertools.product(["", ".gz", ".zst"], repeat=2)])
def test_line_i_of_both_files_is_pair_i(tmp_path: Path, source: str, target: str) -> None:
    source_path = write(tmp_path / f"a.en{source}", "Hello.\n\na\u2028b")
    target_path = write(tmp_path / f"a.de{target}", "\ufeffHallo.\r\nx\r\n\r\n")
    pairs = list(read_moses(source_path, target_path, source_lang="en", target_lang="de"))
    assert pairs == [
        HELLO,
        SentencePair("", "x", "eng", "deu"),
        SentencePair("a\u2028b", "", "eng", "deu"),
    ]


def test_unequal_files_are_an_error_before_the_first_pair(tmp_path: Path) -> None:
    source = write(tmp_path / "a.en", "1\n2\n3\n")
    target = write(tmp_path / "a.de.gz", "1\n2\n")
    pairs = read_moses(source, target, source_lang="en", target_lang="de")
    with pytest.raises(LabseError, match=r"a\.en has 3 lines and .*a\.de\.gz has 2;"):
        next(pairs)


def test_a_broken_aligned_file_is_named(tmp_path: Path) -> None:
    good, broken = write(tmp_path / "good", "a\nb\n"), write(tmp_path / "broken", "a\nb\rc\n")
    for source, target in ((good, broken), (broken, good)):
        with pytest.raises(LabseError, match=r"broken, line 2: a line feed or carriage return"):
            list(read_moses(source, target, source_lang="en", target_lang="de"))
    with pytest.raises(LabseError, match="nowhere: no such file"):
        list(read_moses(good, tmp_path / "nowhere", source_lang="en", target_lang="de"))


def test_standard_input_cannot_be_one_of_two_aligned_files(tmp_path: Path) -> None:
    good = write(tmp_path / "good", "a\n")
    for source, target in (("-", good), (good, "-")):
        with pytest.raises(UsageError, match="neither can be standard input"):
            list(read_moses(source, target, source_lang="en", target_lang="de"))


def test_two_empty_files_have_no_pairs(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", "")
    assert list(read_moses(empty, empty, source_lang="en", target_lang="de")) == []


def test_tiny_pairs_survive_a_file(tmp_path: Path, tiny_pairs: list[SentencePair]) -> None:
    rows = [f"{p.source}\t{p.target}\t{p.source_lang}\t{p.target_lang}\n" for p in tiny_pairs]
    header = "source\ttarget\tsource_lang\ttarget_lang\n"
    path = write(tmp_path / "tiny.tsv.zst", header + "".join(rows))
    assert list(read_pairs(path)) == tiny_pairs
