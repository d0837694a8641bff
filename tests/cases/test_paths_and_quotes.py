"""A path is a path whatever is in its name; quotes in a table are told, not guessed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize(
    "path", ["data-10:30/p.parquet", "./a:b/p.parquet", "file:p.parquet", "s3:p.parquet"]
)
def test_a_colon_in_a_path_is_a_character(run: Run, inside: Path, path: str) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    Path(path).parent.mkdir(exist_ok=True)
    with Path(path).open("wb") as stream:
        parquet.write_table(arrow.table({"source": ["Hello."], "target": ["Hallo."]}), stream)
    langs = ("--source-lang", "en", "--target-lang", "de")
    ran = run("corpus", "convert", path, *langs, "--out", "-", "--format", "tsv")
    assert (ran.code, ran.out.splitlines()[1:]) == (0, ["Hello.\tHallo.\teng\tdeu"])
    ran = run("encode", path, "--column", "source", "--out", "a:b.npy")
    assert ran.code == 0, ran.err
    assert Path("a:b.npy").is_file()


def test_a_folder_of_shards_may_have_a_colon_in_its_name(run: Run, inside: Path) -> None:
    pytest.importorskip("pyarrow")
    Path("text.txt").write_text("The ship sails tomorrow morning at nine.\n" * 2)
    out = "clean-2026-11-22T10:30"
    ran = run("corpus", "clean", "text.txt", "--lang", "en", "--no-language-id", "--out", out)
    assert ran.code == 0, ran.err
    assert run("corpus", "dedup", out, "--out", "once:1").code == 0


CONVERT = ("corpus", "convert", "p.tsv", "--source-lang", "nb", "--target-lang", "en")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["a\tb", '"sa ""ja"" da"\t"said ""yes"""', '"""Sult"""\tHunger'], "2 of 3 rows"),
        (['"a"\t"b"', '"c"\tdet'], "2 of 2 rows"),  # Everything is quoted.
        (['"Ja," sa han.\t"Yes," he said.', '"Ja."\t"Yes."', "c\td"], None),  # Direct speech.
        (['5" rør\t5" pipe', "c\td"], None),
    ],
)
def test_rows_that_look_quoted_are_counted(
    run: Run, inside: Path, rows: list[str], told: str | None
) -> None:
    Path("p.tsv").write_text("source\ttarget\n" + "\n".join(rows) + "\n")
    ran = run(*CONVERT, "--out", "-", "--format", "tsv")
    assert ran.code == 0
    assert ran.out.splitlines()[1:] == [f"{row}\tnob\teng" for row in rows]
    assert (told is None) == ("look quoted" not in ran.err)
    assert (told or "") in ran.err


def test_a_quoted_header_says_why_its_columns_are_not_found(run: Run, inside: Path) -> None:
    Path("p.tsv").write_text('"source"\t"target"\n"a"\t"b"\n')
    ran = run(*CONVERT, "--out", "-", "--format", "tsv")
    assert ran.code == 3
    assert "look quoted" in ran.err
