from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning import dedup
from labse.cleaning.dedup import dedup_files, merge_step, partition_step
from labse.corpus.shards import list_shards, read_shard
from labse.errors import UsageError

pytest.importorskip("xxhash")
LINES = [f"sentence number {n % 17} of many" for n in range(40)]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def texts(folder: Path) -> list[str]:
    return [
        t for shard in list_shards(folder) for t in read_shard(shard).column("text").to_pylist()
    ]


def shard_bytes(folder: Path) -> list[bytes]:
    return [shard.read_bytes() for shard in list_shards(folder)]


def test_each_row_stays_once(tmp_path: Path) -> None:
    report = dedup_files([write(tmp_path / "a.txt", LINES)], tmp_path / "out", lang="eng")
    assert (report.num_rows, report.num_exact, report.kept) == (40, 23, {"eng": 17})
    assert sorted(texts(tmp_path / "out")) == sorted(set(LINES))


@settings(max_examples=4, deadline=None)
@given(st.permutations(LINES), st.integers(0, 40), st.integers(1, 5))
def test_neither_order_nor_files_nor_partitions_change_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], cut: int, num_partitions: int
) -> None:
    folder = tmp_path_factory.mktemp("dedup")
    files = [write(folder / "b.txt", lines[cut:]), write(folder / "a.txt", lines[:cut])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup, "_PARTITION_BYTES", 2000 // num_partitions)
        dedup_files(files, folder / "parts", lang="eng", rows_per_shard=6)
    dedup_files([write(folder / "c.txt", LINES)], folder / "whole", lang="eng", rows_per_shard=6)
    assert shard_bytes(folder / "parts") == shard_bytes(folder / "whole")


def test_the_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.txt", LINES[n::3]) for n in range(3)]
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        dedup_files(files, out, lang="eng", min_similarity=0.9, workers=workers)
    assert shard_bytes(tmp_path / "out1") == shard_bytes(tmp_path / "out2")


def test_equal_texts_of_two_languages_are_no_copies(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("lang\ttext\nde\tOK\nfr\tOK\nde\tOK\n", "utf-8")
    report = dedup_files([tmp_path / "t.tsv"], tmp_path / "out")
    assert report.kept == {"deu": 1, "fra": 1}


def test_columns_do_not_run_into_each_other(tmp_path: Path) -> None:
    rows = ["source_lang\ttarget_lang\tsource\ttarget", "en\tde\tab\tc", "en\tde\ta\tbc"]
    (tmp_path / "p.tsv").write_text("\n".join(rows) + "\n", "utf-8")
    report = dedup_files([tmp_path / "p.tsv"], tmp_path / "out", kind="pairs")
    assert report.kept == {"eng-deu": 2}


def test_a_finished_folder_is_taken_as_it_is_and_no_other_is_overwritten(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", LINES)
    report = dedup_files([file], tmp_path / "out", lang="eng")
    assert dedup_files([file], tmp_path / "out", lang="eng") == report
    with pytest.raises(UsageError, match="another lang"):
        dedup_files([file], tmp_path / "out", lang="deu")


def test_an_empty_file_gives_one_empty_shard(tmp_path: Path) -> None:
    report = dedup_files([write(tmp_path / "a.txt", [])], tmp_path / "out", lang="eng")
    assert report.kept == {}
    assert texts(tmp_path / "out") == []


def test_steps_part_rows_by_hash_and_merge_them_sorted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", LINES)
    pieces = [str(tmp_path / f"{n}.parquet") for n in range(3)]
    assert partition_step(str(file), pieces, kind="mono", lang="eng") == {"num_rows": 40}
    parts = [read_shard(piece) for piece in pieces]
    assert sum(part.num_rows for part in parts) == 40
    highs = [part.column("key_high").to_pylist() for part in parts]
    assert max(highs[0]) < min(highs[1]) <= max(highs[1]) < min(highs[2])
    out = str(tmp_path / "merged.parquet")
    result = merge_step(pieces, out, kind="mono")
    assert result == {"num_rows": 40, "kept": {"eng": 17}}
    assert read_shard(out).column_names == ["lang", "text"]
