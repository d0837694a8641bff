import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "news.txt"
    path.write_text("guten Tag\nguten Abend\n", "utf-8")
    return path


def test_a_vocabulary_is_learnt_and_told_about(run: Run, tmp_path: Path, text: Path) -> None:
    ran = run("vocab", text, "--lang", "de", "--out", tmp_path / "v", "--vocab-size", 60)
    assert (ran.code, ran.out) == (0, "")
    assert "news.txt: 2 rows" in ran.err
    assert "4 words (3 distinct) of 1 language" in ran.err
    assert (tmp_path / "v" / "vocab.txt").is_file()


def test_json_is_the_summary(run: Run, tmp_path: Path, text: Path) -> None:
    ran = run("vocab", text, "--lang", "de", "--out", tmp_path / "v", "--min-count", 1, "--json")
    summary = json.loads(ran.out)
    assert summary["num_words"] == 3
    assert summary["inputs"][0]["num_rows"] == 2
    assert "the words give fewer than 120,000 pieces" in ran.err


def test_a_vocabulary_is_replaced_and_that_is_said(run: Run, tmp_path: Path, text: Path) -> None:
    arguments = ("vocab", text, "--lang", "de", "--out", tmp_path / "v", "--vocab-size", 60)
    assert "will be replaced" not in run(*arguments).err
    again = run(*arguments)
    assert again.code == 0
    assert "it will be replaced" in again.err


def test_a_wrong_language_is_a_usage_error(run: Run, tmp_path: Path, text: Path) -> None:
    ran = run("vocab", text, "--lang", "germn", "--out", tmp_path / "v")
    assert ran.code == 2
    assert "unknown language 'germn'; did you mean 'deu' (German)?" in ran.err


@pytest.mark.parametrize("option", [("--smoothing-exponent", 2), ("--vocab-size", 0)])
def test_values_out_of_range_are_usage_errors(
    run: Run, tmp_path: Path, text: Path, option: tuple[str, int]
) -> None:
    ran = run("vocab", text, "--lang", "de", "--out", tmp_path / "v", *option)
    assert ran.code == 2
    assert option[0] in ran.err


def test_words_are_counted_first_and_learnt_from_later(
    run: Run, tmp_path: Path, text: Path
) -> None:
    ran = run("vocab", text, "--lang", "de", "--counts", tmp_path / "c", "--json")
    assert (ran.code, json.loads(ran.out)["totals"]) == (0, {"deu": 4})
    ran = run("vocab", tmp_path / "c", "--out", tmp_path / "v", "--vocab-size", 60)
    assert ran.code == 0
    assert "4 words (3 distinct) of 1 language" in ran.err


def test_an_option_of_learning_needs_a_folder_to_make(run: Run, tmp_path: Path, text: Path) -> None:
    ran = run("vocab", text, "--lang", "de", "--counts", tmp_path / "c", "--vocab-size", 60)
    assert ran.code == 2
    assert "--vocab-size is for learning" in ran.err
    ran = run("vocab", text, "--lang", "de")
    assert ran.code == 2
    assert "Missing option '--out', or '--counts'" in ran.err
