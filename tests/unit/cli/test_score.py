import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "a").write_text("free\nequal\n\nrights\nfree\n")
    (tmp_path / "b").write_text("free\ndignity\nx\nrights\nfree\n")
    return tmp_path / "a", tmp_path / "b"


def test_each_line_has_a_line_of_cosine_and_margin(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("score", *files, "--model", model, "--k", 1)
    rows = [line.split("\t") for line in ran.out.splitlines()]
    assert len(rows) == 5
    assert rows[0] == rows[3] == rows[4] == ["1.0000", "1.0000"]
    assert rows[2] == ["0.0000", "0.0000"]
    assert float(rows[1][0]) < 0.999


def test_json_names_the_scores_and_none_skips_the_margin(
    run: Run, files: tuple[Path, Path], model: Path
) -> None:
    ran = run("score", *files, "--model", model, "--margin", "none", "--json")
    assert [list(json.loads(line)) for line in ran.out.splitlines()] == [["cosine"]] * 5


def test_unequal_files_give_no_scores(
    run: Run, files: tuple[Path, Path], model: Path, tmp_path: Path
) -> None:
    files[1].write_text("free\n")
    ran = run("score", *files, "--model", model, "--out", tmp_path / "scores")
    assert ran.code == 3
    assert "source has 5 lines and the target 1" in ran.err
    assert not (tmp_path / "scores").exists()


def test_empty_files_give_no_lines(run: Run, files: tuple[Path, Path], model: Path) -> None:
    for file in files:
        file.write_text("")
    ran = run("score", *files, "--model", model)
    assert (ran.code, ran.out) == (0, "")


def test_a_table_with_other_names_of_columns_says_how_to_name_them(
    run: Run, tmp_path: Path, model: Path
) -> None:
    table = tmp_path / "p.tsv"
    table.write_text("text_en\ttext_de\nThat is a dog.\tDas ist ein Hund.\n", "utf-8")
    ran = run("score", table, "--model", model)
    assert ran.code == 3
    assert "its columns are 'text_en', 'text_de'; --columns source=NAME,target=NAME" in ran.err


def test_a_table_of_pairs_comes_back_with_its_scores(run: Run, tmp_path: Path, model: Path) -> None:
    pairs, out = tmp_path / "p.tsv", tmp_path / "s.jsonl"
    pairs.write_text("note\tsource\ttarget\tquality\nx\tfree\tfree\t0.25\ny\tequal\t\t0.5\n")
    ran = run("score", pairs, "--model", model, "--k", 1)
    assert ran.out.splitlines() == [
        "source\ttarget\tquality\tcosine\tmargin_score",
        "free\tfree\t0.25\t1.0\t1.0",
        "equal\t\t0.5\t0.0\t0.0",
    ]
    assert "columns left out: 'note'" in ran.err
    langs = ("--source-lang", "de", "--target-lang", "en", "--margin", "none")
    assert run("score", pairs, "--model", model, *langs, "--out", out).code == 0
    row = json.loads(out.read_text().splitlines()[0])
    assert (row["source_lang"], row["cosine"], row["quality"]) == ("deu", 1.0, 0.25)
    assert run("score", pairs, "--model", model, "--column", "source").code == 2
