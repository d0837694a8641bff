import json
import os
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.corpus.shards import (
    column_names,
    cut_shards,
    expand_folders,
    iter_rows,
    iter_sentences,
    list_shards,
    open_shard,
    read_shard,
    write_shard,
)
from labse.corpus.tables import open_table
from labse.errors import LabseError, ResourceError, UsageError

LINES = [f"line {number}" for number in range(10)]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "news.txt"
    path.write_text("".join(f"{line}\n" for line in LINES), "utf-8")
    return path


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 12))
def test_shards_part_the_rows_in_their_order(rows_per_shard: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        text, folder = Path(name) / "a.txt", Path(name) / "shards"
        text.write_text("".join(f"{line}\n" for line in LINES), "utf-8")
        cursor = cut_shards(text, folder, origin="x", lang="de", rows_per_shard=rows_per_shard)
        tables = [read_shard(shard) for shard in list_shards(folder)]
    assert (cursor.num_rows, cursor.num_shards, cursor.is_done) == (10, len(tables), True)
    assert [row for table in tables for row in table.column("text").to_pylist()] == LINES
    assert {tag for table in tables for tag in table.column("lang").to_pylist()} == {"deu"}
    assert all(table.num_rows == rows_per_shard for table in tables[:-1])


def test_a_cut_goes_on_where_it_was_killed_to_the_same_bytes(tmp_path: Path, text: Path) -> None:
    cut_shards(text, tmp_path / "whole", origin="x", lang="de", rows_per_shard=3)
    cut_shards(text, tmp_path / "killed", origin="x", lang="de", rows_per_shard=3)
    for name in ("part-00002.parquet", "part-00003.parquet"):
        (tmp_path / "killed" / name).unlink()
    cursor = json.loads((tmp_path / "killed" / "cursor.json").read_text())
    # Shard 1 was written, but not yet counted.
    changed = cursor | {"num_shards": 1, "num_rows": 3, "is_done": False}
    (tmp_path / "killed" / "cursor.json").write_text(json.dumps(changed))
    cut_shards(text, tmp_path / "killed", origin="x", lang="de", rows_per_shard=3)
    assert all_bytes(tmp_path / "killed") == all_bytes(tmp_path / "whole")


def test_another_file_is_not_cut_into_the_same_folder(tmp_path: Path, text: Path) -> None:
    cut_shards(text, tmp_path / "shards", origin="x", lang="de")
    with pytest.raises(UsageError, match="another file or size"):
        cut_shards(text, tmp_path / "shards", origin="y", lang="de")


def test_an_empty_file_has_no_shards(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    cursor = cut_shards(tmp_path / "empty.txt", tmp_path / "shards", origin="x", lang="de")
    assert (cursor.num_rows, cursor.num_shards, cursor.is_done) == (0, 0, True)
    with pytest.raises(
        LabseError, match="a folder without rows; give files, or a folder that labse corpus"
    ):
        list_shards(tmp_path / "shards")


def test_broken_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"fine\n\xff\n")
    with pytest.raises(LabseError, match=r"bad.txt, line 2: not valid UTF-8"):
        cut_shards(tmp_path / "bad.txt", tmp_path / "shards", origin="x", lang="de")


def test_a_folder_of_tables_with_other_names_says_which_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").touch()
    with pytest.raises(LabseError, match=r"named part-\*\.parquet are read.*such as .*train\.parq"):
        expand_folders(tmp_path)


def test_pairs_name_their_languages(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("lang\tenglish\ttext\nde\tone\teins\n", "utf-8")
    assert list(iter_rows(tmp_path / "pairs.tsv", "pairs", None)) == [("eng", "deu", "one", "eins")]
    assert column_names("pairs") == ("source_lang", "target_lang", "source", "target")
    with pytest.raises(UsageError, match="lang is for text"):
        list(iter_rows(tmp_path / "pairs.tsv", "pairs", "deu"))


def test_a_table_has_its_languages_and_a_text_needs_one(tmp_path: Path, text: Path) -> None:
    (tmp_path / "t.tsv").write_text("text\tlang\nHallo\tde\n\tfr\n", "utf-8")
    assert [s.lang for s in iter_sentences(tmp_path / "t.tsv", None)] == ["deu", "fra"]
    with pytest.raises(UsageError, match="give --lang"):
        next(iter_sentences(text, None))
    (tmp_path / "news.de").write_text("Hallo\n", "utf-8")
    assert next(iter_sentences(tmp_path / "news.de", None)).lang == "deu"
    assert next(iter_sentences(tmp_path / "news.de", "nl", default_lang="und")).lang == "nld"
    assert next(iter_sentences(text, None, default_lang="und")).lang == "und"
    (tmp_path / "u.tsv").write_text("text\tlang\nHallo\txx-none\n", "utf-8")
    with pytest.raises(LabseError, match=r"u.tsv, line 2: unknown language"):
        list(iter_sentences(tmp_path / "u.tsv", None))


def test_folders_stand_for_their_shards(tmp_path: Path, text: Path) -> None:
    for name in ("b", "a"):
        cut_shards(text, tmp_path / "shards" / name, origin="x", lang="de", rows_per_shard=6)
    found = expand_folders([text, tmp_path / "shards"])
    assert [Path(path).parent.name for path in found[1:]] == ["a", "a", "b", "b"]


def test_a_shard_that_is_damaged_or_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1")
    with pytest.raises(LabseError, match="not a whole Parquet file"):
        read_shard(tmp_path / "part-00000.parquet")
    with pytest.raises(LabseError, match="no such shard"):
        read_shard(tmp_path / "part-00001.parquet")
    with pytest.raises(ResourceError, match="is a file"):
        write_shard(tmp_path / "part-00000.parquet" / "part", {"text": ["a"]})


def test_a_folder_whose_name_is_no_utf_8_holds_shards_like_any_other(
    tmp_path: Path, text: Path
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")  # Latin-1, as an old archive names it.
    cut_shards(text, folder, origin="x", lang="de", rows_per_shard=3)
    (first, *_) = list_shards(folder)
    whole = read_shard(first)
    with open_shard(first) as file:
        assert file.read_row_group(0).slice(0, 1) == whole.slice(0, 1)
    assert [text for _, (text,) in open_table(first).read_rows(["text"])] == LINES[:3]


def test_equal_rows_are_equal_bytes_however_they_come(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.parquet", {"text": ["a", "b"]})
    write_shard(tmp_path / "b.parquet", pq.read_table(tmp_path / "a.parquet"))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
